//go:build race

package compile_test

// instrumented is how many allocations of a request are the race detector's.
const instrumented = 1
