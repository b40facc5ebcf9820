//go:build !race

package weirtest

// RaceEnabled tells whether tests, and the gateway that they start, have the race detector.
const RaceEnabled = false
