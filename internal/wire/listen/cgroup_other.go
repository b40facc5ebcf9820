//go:build !linux

package listen

// cgroupLimit returns 0: there are no cgroups on this system.
func cgroupLimit() int64 { return 0 }
