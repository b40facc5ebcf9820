//go:build race

package proxy_test

// instrumented is how many allocations of a request may be due to how this is built: the race detector has pools forget things.
const instrumented = 7
