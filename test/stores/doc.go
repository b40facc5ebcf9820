// Package stores tests the endpoint providers against the newest servers of what they read, and against the official
// clients. These are too heavy for the program's own module.
package stores
