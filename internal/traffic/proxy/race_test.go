//go:build race

package proxy_test

// instrumented is how many allocations of a request may be the race detector's, which has pools forget things.
const instrumented = 3
