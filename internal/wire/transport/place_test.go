package transport_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/wire/proxyproto"
	"github.com/weir-gateway/weir/internal/wire/secure/securetest"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// serveOn runs a server that answers with how it was reached.
func serveOn(t *testing.T, l net.Listener, config *tls.Config) {
	t.Helper()
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{Protocols: &protocols, TLSConfig: config, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s %s", r.Proto, r.Host, r.RemoteAddr)
	})}
	var done sync.WaitGroup
	done.Go(func() {
		serve := s.Serve
		if config != nil {
			serve = func(l net.Listener) error { return s.ServeTLS(l, "", "") }
		}
		if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the server: %v", err)
		}
	})
	t.Cleanup(func() { _ = s.Close(); done.Wait() })
}

// from makes a request as if a client had sent it.
func from(t *testing.T, client string, endpoint string) *http.Request {
	t.Helper()
	req := request(t, http.MethodGet, "shop.dev", nil)
	req.Host, req.URL.Host = "shop.dev", endpoint
	if client == "" {
		return req
	}
	peer := netip.MustParseAddrPort(client)
	ctx := context.WithValue(req.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 443}))
	return exchange.With(req.WithContext(ctx), &exchange.Exchange{Client: exchange.Client{Peer: peer, IP: peer.Addr()}})
}

func answer(t *testing.T, tr *transport.Transport, req *http.Request) string {
	t.Helper()
	res, err := tr.RoundTrip(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

func TestEndpointsOnUnixSockets(t *testing.T) {
	a := securetest.NewAuthority(t, "a")
	identity, err := transport.Identity{ServerName: "users.internal", CA: a.PEM()}.TLS()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		options transport.Options
		server  *tls.Config
		want    string
	}{
		"HTTP/1.1":           {transport.Options{}, nil, "HTTP/1.1 shop.dev"},
		"HTTP/2":             {transport.Options{Protocol: transport.H2C}, nil, "HTTP/2.0 shop.dev"},
		"HTTP/1.1, with TLS": {transport.Options{TLS: identity}, &tls.Config{Certificates: []tls.Certificate{a.Issue([]string{"users.internal"})}}, "HTTP/1.1 shop.dev"},
		"HTTP/2, with TLS":   {transport.Options{Protocol: transport.H2, TLS: identity}, &tls.Config{Certificates: []tls.Certificate{a.Issue([]string{"users.internal"})}}, "HTTP/2.0 shop.dev"},
		"another name":       {transport.Options{TLS: identity}, &tls.Config{Certificates: []tls.Certificate{a.Issue([]string{"orders.internal"})}}, "certificate is valid for orders.internal"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			if test.server != nil {
				test.server.NextProtos = []string{"h2", "http/1.1"}
			}
			serveOn(t, l, test.server)
			tr := newTransport(t, test.options)
			for range 2 {
				if got := answer(t, tr, from(t, "198.51.100.1:1", "unix:"+path)); !strings.Contains(got, test.want) {
					t.Errorf("got %s, want %s", got, test.want)
				}
			}
		})
	}
	var failed *exchange.SendError
	_, err = newTransport(t, transport.Options{}).RoundTrip(from(t, "", "unix:/nowhere/s")) //nolint:bodyclose // there is none
	if !errors.As(err, &failed) || !failed.Dial || failed.Endpoint != "unix:/nowhere/s" {
		t.Errorf("without a server: %v", err)
	}
}

// A name that a provider found is only ever a name, however it is spelled.
func TestNobodyButTheTransportWritesPlaces(t *testing.T) {
	var dialled atomic.Pointer[string]
	tr := newTransport(t, transport.Options{Dial: func(_ context.Context, network, address string) (net.Conn, error) {
		at := network + " " + address
		dialled.Store(&at)
		return nil, errors.New("not here")
	}})
	_ = answer(t, tr, from(t, "", "unix:/run/app.sock"))
	if got := *dialled.Load(); got != "unix /run/app.sock" {
		t.Fatalf("dialled %s", got)
	}
	// The code for that socket in the URL, as it could appear in a registry.
	const code = "1k50q2g01k552la9ag52000001qmsqbo78nn4tbe5tgn0s1eednm6qo"
	for _, host := range []string{code + ".place.invalid:1", ".place.invalid:1", "shop.place.invalid:1"} {
		_ = answer(t, tr, from(t, "", host))
		if got := *dialled.Load(); got != "tcp "+host {
			t.Errorf("dialled %s, want %s", got, host)
		}
	}
}

// announcedTo is a server behind the PROXY protocol. It records the header of each connection and how many requests
// arrived on it.
type announcedTo struct {
	net.Listener

	mu      sync.Mutex
	headers []proxyproto.Header
}

func (l *announcedTo) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	for n := 1; ; n++ {
		text, err := r.Peek(n)
		if err != nil {
			return nil, err
		}
		header, length, err := proxyproto.Parse(text)
		if err != nil {
			return nil, err
		}
		if length > 0 {
			_, _ = r.Discard(length) // Peek has buffered them
			l.mu.Lock()
			l.headers = append(l.headers, header)
			l.mu.Unlock()
			return &buffered{conn, r}, nil
		}
	}
}

type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// sources returns the announced clients, in order.
func (l *announcedTo) sources() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []string
	for _, h := range l.headers {
		list = append(list, h.Source.String()+" to "+h.Destination.String())
	}
	slices.Sort(list)
	return list
}

func TestEndpointsAreToldWhoseConnectionItIs(t *testing.T) {
	a := securetest.NewAuthority(t, "a")
	identity, err := transport.Identity{CA: a.PEM()}.TLS()
	if err != nil {
		t.Fatal(err)
	}
	own := &tls.Config{Certificates: []tls.Certificate{a.Issue([]string{"127.0.0.1"})}, NextProtos: []string{"h2", "http/1.1"}}
	for name, test := range map[string]struct {
		options transport.Options
		server  *tls.Config
	}{
		"version 1":           {transport.Options{Announce: transport.AnnouncedV1}, nil},
		"version 2":           {transport.Options{Announce: transport.AnnouncedV2}, nil},
		"HTTP/2":              {transport.Options{Announce: transport.AnnouncedV2, Protocol: transport.H2C}, nil},
		"version 1, with TLS": {transport.Options{Announce: transport.AnnouncedV1, TLS: identity}, own},
		"HTTP/2, with TLS":    {transport.Options{Announce: transport.AnnouncedV2, Protocol: transport.H2, TLS: identity}, own},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			server := &announcedTo{Listener: l}
			serveOn(t, server, test.server)
			tr := newTransport(t, test.options)
			for _, client := range []string{"198.51.100.1:1000", "198.51.100.1:1000", "[2001:db8::1]:2000", "198.51.100.1:1000", "198.51.100.1:3000", "[2001:db8::1]:2000", ""} {
				if got := answer(t, tr, from(t, client, l.Addr().String())); !strings.HasPrefix(got, "HTTP/") {
					t.Errorf("%s: got %s", client, got)
				}
			}
			want := []string{
				"198.51.100.1:1000 to 192.0.2.9:443", "198.51.100.1:3000 to 192.0.2.9:443", "[2001:db8::1]:2000 to 192.0.2.9:443",
				"invalid AddrPort to invalid AddrPort",
			}
			if got := server.sources(); !slices.Equal(got, want) {
				t.Errorf("announced were %q, want %q", got, want)
			}
		})
	}
}

// Connections that are made at the same time are not mixed up between their clients.
func TestNobodyIsAnnouncedAsAnother(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var headers sync.Map // by the address of the connection
	server := &announcedTo{Listener: l}
	s := &http.Server{
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			server.mu.Lock()
			defer server.mu.Unlock()
			headers.Store(c.RemoteAddr().String(), server.headers[len(server.headers)-1].Source.Addr().String())
			return ctx
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			of, _ := headers.Load(r.RemoteAddr)
			_, _ = io.WriteString(w, of.(string))
		}),
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(server) }()
	defer func() { _ = s.Close(); <-served }()
	tr := newTransport(t, transport.Options{Announce: transport.AnnouncedV2})
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			client := fmt.Sprintf("198.51.100.%d", i%5)
			for range 20 {
				if got := answer(t, tr, from(t, client+":1", l.Addr().String())); got != client {
					t.Errorf("%s was announced as %s", client, got)
				}
			}
		})
	}
	all.Wait()
}
