// Package stores holds providers of endpoints against the newest servers and the official
// clients of what they read, which are too heavy for the program's own module.
package stores
