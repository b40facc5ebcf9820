//go:build unix && !linux

package http1

// isHalfClosed cannot be asked here: a client that has said its end over TLS is told from
// one that is still there when its answer cannot be written.
func isHalfClosed(int) bool { return false }
