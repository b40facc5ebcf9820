//go:build !linux

package app

// monotonic is for systemd, which is on Linux.
func monotonic() []string { return nil }
