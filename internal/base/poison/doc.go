// Package poison finds code that keeps memory after that belongs to something else. In a build with the tag poison,
// memory that is given back for reuse is overwritten as soon as it may be reused, and the test suite is also run in
// that mode. Without the tag it costs nothing.
package poison
