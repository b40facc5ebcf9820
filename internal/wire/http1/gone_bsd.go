//go:build unix && !linux

package http1

// isHalfClosed returns false, because this system cannot tell. A client that has announced its end over TLS is only
// noticed when its answer cannot be written.
func isHalfClosed(int) bool { return false }
