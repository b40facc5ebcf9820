package freeport_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/weir-gateway/weir/internal/base/freeport"
)

// TestNobodyIsGivenAnAddressThatIsFree: neither listeners on port 0 nor those who dial, of
// whom there are more here than a busy machine has.
func TestNobodyIsGivenAnAddressThatIsFree(t *testing.T) {
	free := map[string]bool{}
	for range 1000 {
		free[freeport.Address(t)] = true
	}
	if len(free) != 1000 {
		t.Errorf("of 1000 addresses %d are different", len(free))
	}
	for range 200 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		for _, taken := range []net.Addr{l.Addr(), c.LocalAddr()} {
			if free[taken.String()] {
				t.Errorf("%v is another's now", taken)
			}
		}
	}
}

// TestAPortThatSomebodyHasIsNotGiven: the next one is.
func TestAPortThatSomebodyHasIsNotGiven(t *testing.T) {
	for range 20 { // another process may have the very next port now
		address := freeport.Address(t)
		_, last, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		port, err := strconv.Atoi(last)
		if err != nil {
			t.Fatal(err)
		}
		next := net.JoinHostPort("127.0.0.1", strconv.Itoa(port+1))
		l, err := net.Listen("tcp", next)
		if err != nil {
			continue
		}
		got := freeport.Address(t)
		_ = l.Close()
		if got == next {
			t.Fatalf("%s is given, which somebody listens on", got)
		}
		return
	}
	t.Error("all ports are somebody's")
}
