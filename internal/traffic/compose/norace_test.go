//go:build !race

package compose_test

const instrumented = 0
