//go:build !race && !poison

package service

const exact = true // the program allocates as it does in production
