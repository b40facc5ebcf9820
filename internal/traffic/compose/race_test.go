//go:build race

package compose_test

// instrumented is how many allocations of a request may be due to the race detector, which makes pools drop things.
const instrumented = 15
