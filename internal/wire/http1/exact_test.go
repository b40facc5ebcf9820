//go:build !race && !poison

package http1_test

const exact = true // the program allocates as it does in production
