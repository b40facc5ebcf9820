//go:build !linux

package app

// monotonic returns nothing: systemd, which needs the time, runs only on Linux.
func monotonic() []string { return nil }
