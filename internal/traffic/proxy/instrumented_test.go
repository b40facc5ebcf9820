//go:build race

package proxy_test

// instrumented is how many allocations of a request may be due to this build: the race detector makes pools drop
// things.
const instrumented = 7
