//go:build !race

package weirtest

// RaceEnabled reports whether the tests, and the gateway that they start, use the race detector.
const RaceEnabled = false
