//go:build !race

package proxy_test

const instrumented = 0
