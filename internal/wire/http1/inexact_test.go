//go:build race || poison

package http1_test

const exact = false // sync.Pool forgets at random with the race detector, and what is poisoned is new
