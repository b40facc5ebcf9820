// Package httpx has the details of HTTP, each rule in one place: what a path, a host and a query are before anything
// else looks at them, and which fields a gateway strips, trusts and sets. It knows nothing about routes or backends.
package httpx
