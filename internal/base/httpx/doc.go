// Package httpx is HTTP's small print, each rule in one place: what a path, a
// host and a query are before anyone looks at them, and which fields a gateway
// strips, trusts and sets. It knows nothing of routes or backends.
package httpx
