//go:build race || poison

package http1_test

const exact = false // the race detector makes sync.Pool drop things at random; poisoned memory is not reused
