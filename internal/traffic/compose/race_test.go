//go:build race || poison

package compose_test

// instrumented is how many allocations of a request may be due to how this is built: the race detector has pools
// forget things, and what is given back is scrambled.
const instrumented = 15
