//go:build race

package http1_test

const raceEnabled = true // sync.Pool forgets at random then
