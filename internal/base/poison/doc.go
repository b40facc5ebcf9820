// Package poison finds out who keeps memory that is somebody else's already. Built with the tag
// poison, what is given back to be used again holds other things than it did as soon as it may
// be, and the test suite runs so too. Without the tag it costs nothing.
package poison
