package listen

// openFiles returns 0, unknown: sockets are bounded by memory only.
func openFiles() int { return 0 }
