//go:build race

package compose_test

// instrumented is how many allocations of a request may be the race detector's, which has pools forget things.
const instrumented = 15
