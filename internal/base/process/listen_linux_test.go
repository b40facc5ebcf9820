package process_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/process"
)

func TestWhoListensIsToldFromStrangers(t *testing.T) {
	host := process.NewHost(nil)
	must(t, host.Open(slog.New(slog.DiscardHandler)))
	defer host.Close()
	stranger, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer stranger.Close()
	for _, how := range []string{"listen", "apart"} {
		at := make(chan string, 1)
		p, err := host.Start(t.Context(), process.Spec{
			Path: self(), Args: []string{"function", how}, Env: func(string) []string { return nil },
			Line: func(l process.Line) {
				if address, ok := strings.CutPrefix(string(l.Text), "at "); ok {
					at <- address
				}
			},
		})
		must(t, err)
		own := netip.MustParseAddrPort(await.From(t, "an address", at))
		if mine, known := p.Listens(own); !mine || !known {
			t.Errorf("%s: at its own address: %v, known %v", how, mine, known)
		}
		other := netip.MustParseAddrPort(stranger.Addr().String())
		if mine, known := p.Listens(other); mine || !known {
			t.Errorf("%s: at a stranger's address: %v, known %v", how, mine, known)
		}
		if mine, known := p.Listens(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), own.Port())); mine || !known {
			t.Errorf("%s: at an address where nobody is: %v, known %v", how, mine, known)
		}
		now, cancel := context.WithCancel(t.Context())
		cancel()
		p.Stop(now)
		if mine, known := p.Listens(own); mine || !known {
			t.Errorf("%s: after its end: %v, known %v", how, mine, known)
		}
	}
}
