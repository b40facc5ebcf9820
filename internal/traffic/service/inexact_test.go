//go:build race || poison

package service

// exact is false here: the race detector makes pools drop things, and memory that is poisoned is not reused.
const exact = false
