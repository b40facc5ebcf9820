//go:build race

package compile_test

// instrumented is how many allocations of a request may be the race detector's.
const instrumented = 3
