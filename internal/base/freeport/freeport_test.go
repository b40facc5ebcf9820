package freeport_test

import (
	"net"
	"testing"

	"github.com/weir-gateway/weir/internal/base/freeport"
)

// TestNobodyIsGivenAnAddressThatIsFree: neither listeners on port 0 nor those who dial, of
// whom there are more here than a busy machine has.
func TestNobodyIsGivenAnAddressThatIsFree(t *testing.T) {
	free := map[string]bool{}
	for range 50 {
		free[freeport.Address(t)] = true
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
	for address := range free {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Errorf("nobody should listen there: %v", err)
			continue
		}
		_ = l.Close()
	}
}
