//go:build !race && !poison

package service

const exact = true // allocations are those of the program as it runs
