//go:build !race && !poison

package compose_test

const instrumented = 0
