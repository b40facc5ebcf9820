package transport_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// liar is a name server that answers every question with the addresses that it is told
// to, and is the process's own until the test ends.
type liar struct{ says atomic.Pointer[[]netip.Addr] }

func newLiar(t *testing.T) *liar {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer, err := l.answer(buf[:n]); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	usual := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	t.Cleanup(func() { net.DefaultResolver = usual; _ = conn.Close(); <-done })
	return l
}

func (l *liar) answer(question []byte) ([]byte, error) {
	var p dnsmessage.Parser
	header, err := p.Start(question)
	if err != nil {
		return nil, err
	}
	q, err := p.Question()
	if err != nil {
		return nil, err
	}
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true})
	if err := errors.Join(b.StartQuestions(), b.Question(q), b.StartAnswers()); err != nil {
		return nil, err
	}
	h := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}
	for _, ip := range *l.says.Load() {
		switch {
		case ip.Is4() && q.Type == dnsmessage.TypeA:
			err = b.AResource(h, dnsmessage.AResource{A: ip.As4()})
		case ip.Is6() && q.Type == dnsmessage.TypeAAAA:
			err = b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: ip.As16()})
		}
		if err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

// TestBoundsHoldWhereverANameLeads is DNS rebinding: the name was good when the config was
// read, and what is looked at is the address of the connection.
func TestBoundsHoldWhereverANameLeads(t *testing.T) {
	dns := newLiar(t)
	var connections atomic.Int64
	address := listen(t, func(c net.Conn) { connections.Add(1); _ = c.Close() })
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	bound := newTransport(t, transport.Options{Protocol: transport.HTTP, Bounds: &egress.Bounds{}})
	for _, list := range [][]string{
		{"127.0.0.1"}, {"127.0.0.2"}, {"0.0.0.0"}, {"::1"}, {"::"}, {"::ffff:127.0.0.1"}, {"169.254.169.254"}, {"fd00:ec2::254"}, {"100.100.100.200"},
		{"fe80::1"}, {"64:ff9b::7f00:1"}, {"2002:7f00:1::"}, {"127.0.0.1", "::1"}, {"169.254.169.254", "127.0.0.1"},
	} {
		var says []netip.Addr
		for _, text := range list {
			says = append(says, netip.MustParseAddr(text))
		}
		dns.says.Store(&says)
		res, err := bound.RoundTrip(request(t, http.MethodGet, "partner.example.com:"+port, nil))
		send, ok := errors.AsType[*exchange.SendError](err)
		if !ok || !send.Refused || !send.Dial || send.Sent != exchange.SentNothing || send.Timeout {
			t.Errorf("%s: %v, %v", list, res, err)
			continue
		}
		if f := send.Fault(); f.Code != fault.BackendForbidden.Code {
			t.Errorf("%s: the fault is %v", list, f)
		}
	}
	for _, literal := range []string{address, "[::ffff:127.0.0.1]:" + port, "localhost:" + port, "unix:/run/app.sock"} {
		says := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		dns.says.Store(&says)
		_, err := bound.RoundTrip(request(t, http.MethodGet, literal, nil))
		if send, ok := errors.AsType[*exchange.SendError](err); !ok || !send.Refused {
			t.Errorf("%s: %v", literal, err)
		}
	}
	if n := connections.Load(); n > 0 {
		t.Fatalf("%d connections were made", n)
	}

	// What is within reach is called, and for who is not bound nothing changes.
	says := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	dns.says.Store(&says)
	reach := &egress.Bounds{Reach: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	for i, b := range []*egress.Bounds{reach, nil} {
		_, _ = newTransport(t, transport.Options{Protocol: transport.HTTP, Bounds: b}).RoundTrip(request(t, http.MethodPost, "partner.example.com:"+port, nil))
		if n := connections.Load(); n != int64(i+1) {
			t.Errorf("%v: %d connections", b, n)
		}
	}
}
