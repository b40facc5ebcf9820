package weirtest

import "testing"

// Terminate tells weir to end and does not wait for it.
func (g *Gateway) Terminate(tb testing.TB) {
	tb.Helper()
	if err := g.now.Signal(terminate); err != nil {
		tb.Fatal(err)
	}
}

// Ended reports whether weir has ended.
func (g *Gateway) Ended() bool {
	select {
	case <-g.exited:
		return true
	default:
		return false
	}
}

// MayFail is for a test that ends weir in a way that gives no success code.
func (g *Gateway) MayFail() { g.killed = true }
