//go:build race || poison

package proxy_test

// instrumented is how many allocations of a request may be due to how this is built: the race detector has pools forget things,
// and what is poisoned is not used again.
const instrumented = 7
