//go:build !race && !poison

package http1_test

const exact = true // allocations are those of the program as it runs
