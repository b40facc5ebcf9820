// Package freeport is for tests: it finds addresses on which nothing listens, for processes that must be told where to
// listen and for backends that do not exist.
package freeport

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
)

// Systems assign the ports above 32,767 (Linux, by default) or 49,151 (RFC 6335, section 6) to programs that listen on
// port 0 or dial. If packages are tested in parallel, such a port that was free a moment ago may soon be taken by
// another process.
const lowest, highest = 10_000, 32_767

// tried is where the search for the next port begins; it starts at a random number. A process returns each port once,
// and two processes return the same one only by chance.
var tried = rand.Uint32() //nolint:gosec // nobody is to be kept from guessing it

// Address returns an address on the loopback interface on which nothing listens, and which the system, in its usual
// configuration, assigns to nothing else.
func Address(tb testing.TB) string {
	tb.Helper()
	for range 100 {
		port := lowest + int(atomic.AddUint32(&tried, 1)%(highest-lowest+1))
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // at once
		if err == nil {
			_ = l.Close() // only its address is needed
			return l.Addr().String()
		}
	}
	tb.Fatalf("no port from %d to %d is free", lowest, highest)
	return ""
}
