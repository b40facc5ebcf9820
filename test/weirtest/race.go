//go:build race

package weirtest

// RaceEnabled reports whether tests, and the gateway that they start, run with the race detector.
const RaceEnabled = true
