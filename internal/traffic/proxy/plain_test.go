//go:build !race && !poison

package proxy_test

const instrumented = 0
