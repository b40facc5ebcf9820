//go:build !race

package compile_test

const instrumented = 0
