package listen

// openFiles is not known: sockets are bounded by memory only.
func openFiles() int { return 0 }
