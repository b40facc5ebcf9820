package transport_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/wire/secure/securetest"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// The endpoint's other address family is used if the first one refuses the connection or does not respond.
func TestAnEndpointHasASecondWay(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, nil)
	refused := errors.New("connection refused")
	for name, first := range map[string]func(context.Context) error{
		"refused": func(context.Context) error { return refused },
		"silent":  func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTransport(t, transport.Options{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				if address == "[2001:db8::1]:80" {
					return nil, first(ctx)
				}
				return (&net.Dialer{}).DialContext(ctx, network, address)
			}})
			host := transport.Host("[2001:db8::1]:80", l.Addr().String(), "", "")
			if got := answer(t, tr, from(t, "", host)); !strings.HasPrefix(got, "HTTP/1.1 shop.dev") {
				t.Errorf("got %s", got)
			}
		})
	}
	t.Run("both", func(t *testing.T) {
		tr := newTransport(t, transport.Options{Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			return nil, errors.New("not " + address)
		}})
		_, err := tr.RoundTrip(from(t, "", transport.Host("[2001:db8::1]:80", "192.0.2.1:80", "", ""))) //nolint:bodyclose // there is none
		failed, ok := errors.AsType[*exchange.SendError](err)
		if !ok || !failed.Dial || failed.Sent != exchange.SentNothing || failed.Endpoint != "[2001:db8::1]:80" {
			t.Fatalf("got %+v", err)
		}
		if text := failed.Err.Error(); !strings.Contains(text, "not [2001:db8::1]:80") || !strings.Contains(text, "not 192.0.2.1:80") {
			t.Errorf("the error tells of one only: %s", text)
		}
	})
}

// A connection that only failed may work in a moment. An address that is out of bounds never will.
func TestAnEndpointIsOutOfBoundsByBothWaysOrNotAtAll(t *testing.T) {
	outside, down := &net.OpError{Op: "dial", Err: &egress.RefusedError{}}, errors.New("connection refused")
	for _, c := range []struct {
		first, second error
		refused       bool
	}{{outside, outside, true}, {outside, down, false}, {down, outside, false}, {down, down, false}} {
		tr := newTransport(t, transport.Options{Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			if address == "192.0.2.1:80" {
				return nil, c.second
			}
			return nil, c.first
		}})
		_, err := tr.RoundTrip(from(t, "", transport.Host("[2001:db8::1]:80", "192.0.2.1:80", "", ""))) //nolint:bodyclose // there is none
		if failed, ok := errors.AsType[*exchange.SendError](err); !ok || failed.Refused != c.refused {
			t.Errorf("%v and %v: got %+v", c.first, c.second, err)
		}
	}
}

// closing notes that a connection was closed.
type closing struct {
	net.Conn
	closed *atomic.Bool
}

func (c closing) Close() error { c.closed.Store(true); return c.Conn.Close() }

func TestTheWayThatComesSecondIsClosed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, nil)
	var closed atomic.Bool
	tr := newTransport(t, transport.Options{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address != "[2001:db8::1]:80" {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
		<-ctx.Done() // the other connection has won
		conn, err := (&net.Dialer{}).DialContext(context.WithoutCancel(ctx), network, l.Addr().String())
		return closing{conn, &closed}, err
	}})
	if got := answer(t, tr, from(t, "", transport.Host("[2001:db8::1]:80", l.Addr().String(), "", ""))); !strings.HasPrefix(got, "HTTP/1.1 ") {
		t.Errorf("got %s", got)
	}
	if !closed.Load() {
		t.Error("a connection that nobody uses stayed open")
	}
}

// The certificate must be for the name that was asked for, not for the address that it resolved to. A connection made
// for one name is not used for another.
func TestTheNameOfAnEndpoint(t *testing.T) {
	a := securetest.NewAuthority(t, "a")
	for protocol, proto := range map[string]string{transport.HTTP: "HTTP/1.1", transport.H2: "HTTP/2.0"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		var asked sync.Map
		pair := a.Issue([]string{"users.internal", "orders.internal"})
		serveOn(t, l, &tls.Config{NextProtos: []string{"h2", "http/1.1"}, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			asked.Store(hello.ServerName, true)
			return &pair, nil
		}})
		identity, err := transport.Identity{CA: a.PEM()}.TLS()
		if err != nil {
			t.Fatal(err)
		}
		tr := newTransport(t, transport.Options{Protocol: protocol, TLS: identity})
		seen := map[string]string{}
		for range 2 {
			for _, name := range []string{"users.internal", "orders.internal"} {
				got := answer(t, tr, from(t, "", transport.Host(l.Addr().String(), "", name, "")))
				connection, ok := strings.CutPrefix(got, proto+" shop.dev ")
				if !ok || seen[name] != "" && seen[name] != connection {
					t.Errorf("%s, %s: got %s", protocol, name, got)
				}
				seen[name] = connection
			}
		}
		if seen["users.internal"] == seen["orders.internal"] {
			t.Errorf("%s: one connection for two names", protocol)
		}
		for _, name := range []string{"users.internal", "orders.internal"} {
			if _, ok := asked.Load(name); !ok {
				t.Errorf("%s: %s was not asked for", protocol, name)
			}
		}
		for _, name := range []string{"other.internal", ""} {
			if got := answer(t, tr, from(t, "", transport.Host(l.Addr().String(), "", name, ""))); !strings.Contains(got, "certificate") {
				t.Errorf("%s: for the name %q got %s", protocol, name, got)
			}
		}
	}
}

func TestAnEndpointWithASecondWayIsToldWhoseConnectionItIs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &announcedTo{Listener: l}
	serveOn(t, server, nil)
	tr := newTransport(t, transport.Options{Announce: transport.AnnouncedV2, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == "[2001:db8::1]:80" {
			return nil, errors.New("refused")
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}})
	if got := answer(t, tr, from(t, "198.51.100.1:1000", transport.Host("[2001:db8::1]:80", l.Addr().String(), "", ""))); !strings.HasPrefix(got, "HTTP/1.1 ") {
		t.Fatalf("got %s", got)
	}
	if got := server.sources(); len(got) != 1 || got[0] != "198.51.100.1:1000 to 192.0.2.9:443" {
		t.Errorf("announced were %q", got)
	}
}

// A host that is already complete stays as it is, and nobody can write by hand a host in the form that we generate.
func TestHostsOfEndpoints(t *testing.T) {
	var dialled atomic.Pointer[string]
	tr := newTransport(t, transport.Options{Dial: func(_ context.Context, _, address string) (net.Conn, error) {
		dialled.Store(&address)
		return nil, errors.New("not here")
	}})
	for _, address := range []string{"192.0.2.1:80", "users:8080", "[2001:db8::1]:80"} {
		if got := transport.Host(address, "", "", ""); got != address {
			t.Errorf("%s became %s", address, got)
		}
	}
	forged := transport.Host("169.254.169.254:80", "", "x", "")
	_ = answer(t, tr, from(t, "", transport.Host(forged, "", "", "")))
	if got := *dialled.Load(); got != forged {
		t.Errorf("dialled %s, want %s", got, forged)
	}
	_ = answer(t, tr, from(t, "", forged))
	if got := *dialled.Load(); got != "169.254.169.254:80" {
		t.Errorf("dialled %s", got)
	}
}

// An HTTP/1.0 client may send no host; the endpoint is then sent its own.
func TestRequestsWithoutAHost(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, nil)
	tr := newTransport(t, transport.Options{})
	at := l.Addr().String()
	for host, want := range map[string]string{at: at, transport.Host(at, "127.0.0.1:1", "", ""): at, transport.Host(at, "", "users.internal", ""): "users.internal"} {
		req := from(t, "", host)
		req.Host = ""
		if got := answer(t, tr, req); !strings.HasPrefix(got, "HTTP/1.1 "+want+" ") {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
