// Package freeport is for tests: addresses that nobody listens on, for processes that
// must be told where to listen and for backends that are not there.
package freeport

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
)

// Systems give the ports above 32,767 (Linux, unless it is told otherwise) or 49,151 (RFC 6335, section 6) to whoever
// listens on port 0 or dials. A port of theirs that was free a moment ago is soon somebody else's, where packages are
// tested side by side.
const lowest, highest = 10_000, 32_767

// tried is where the next one is looked for, from somewhere on: a process gives each once, and two processes the
// same one only by chance.
var tried = rand.Uint32() //nolint:gosec // nobody is to be kept from guessing it

// Address gives one on the loopback interface that nobody listens on, and which the
// system, as it is set up usually, gives to nobody else.
func Address(tb testing.TB) string {
	tb.Helper()
	for range 100 {
		port := lowest + int(atomic.AddUint32(&tried, 1)%(highest-lowest+1))
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // at once
		if err == nil {
			_ = l.Close() // only its address is wanted
			return l.Addr().String()
		}
	}
	tb.Fatalf("no port from %d to %d is free", lowest, highest)
	return ""
}
