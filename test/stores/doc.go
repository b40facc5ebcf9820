// Package stores tests providers of endpoints against the newest servers and official clients of the stores that they
// read. Those are too heavy for the program's own module.
package stores
