package listen_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/listen"
	"github.com/weir-gateway/weir/internal/wire/proxyproto"
)

// sayPeer answers with the client's address as the gateway will see it.
func sayPeer(w http.ResponseWriter, r *http.Request) {
	peer := listen.ConnectionFrom(r.Context()).Peer
	_, _ = io.WriteString(w, peer.String())
}

var loopback = &listen.Announced{By: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

func announcement(source string) proxyproto.Header {
	return proxyproto.Header{Source: netip.MustParseAddrPort(source), Destination: netip.MustParseAddrPort("192.0.2.2:443")}
}

func TestAConnectionIsFromWhomItsHeaderSays(t *testing.T) {
	address := start(t, listen.Options{Handler: http.HandlerFunc(sayPeer), Announced: loopback, H2C: true})
	const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	h := announcement("198.51.100.7:4000")
	for name, text := range map[string][]byte{
		"version 1": h.AppendV1(nil), "version 2": h.AppendV2(nil),
	} {
		for _, at := range []int{0, 1, 11, 20, len(text)} { // where the first piece ends
			conn := dial(t, address)
			send(t, conn, string(text[:at]))
			send(t, conn, string(text[at:])+request[:10])
			send(t, conn, request[10:])
			r := bufio.NewReader(conn)
			if got := receive(t, r).body; got != "198.51.100.7:4000" {
				t.Errorf("%s in pieces of %d: got %s", name, at, got)
			}
			send(t, conn, request)
			if got := receive(t, r).body; got != "198.51.100.7:4000" {
				t.Errorf("%s, the second request: got %s", name, got)
			}
		}
	}
	own := dial(t, address)
	send(t, own, string(proxyproto.Header{}.AppendV2(nil))+request)
	if got := receive(t, bufio.NewReader(own)).body; got != own.LocalAddr().String() {
		t.Errorf("a connection of the proxy's own: got %s, want %s", got, own.LocalAddr())
	}
}

func TestOtherProtocolsComeBehindTheHeader(t *testing.T) {
	certificate, pool := selfSigned(t)
	client := announcement("[2001:db8::7]:4000")
	secured := start(t, listen.Options{Handler: http.HandlerFunc(sayPeer), Announced: loopback, TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}})
	plain := start(t, listen.Options{Handler: http.HandlerFunc(sayPeer), Announced: loopback, H2C: true})
	dialer := func(address string, secure bool, protocol string) func() (net.Conn, error) {
		return func() (net.Conn, error) {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				return nil, err
			}
			if _, err := conn.Write(client.AppendV2(nil)); err != nil || !secure {
				return conn, err
			}
			wrapped := tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "weir.test", NextProtos: []string{protocol}})
			err = wrapped.Handshake()
			return wrapped, err
		}
	}
	for name, connect := range map[string]func() (net.Conn, error){
		"HTTP/1.1 over TLS": dialer(secured, true, "http/1.1"), "HTTP/2 over TLS": dialer(secured, true, "h2"), "HTTP/2 in the clear": dialer(plain, false, ""),
	} {
		var protocols http.Protocols
		protocols.SetHTTP1(strings.Contains(name, "/1"))
		protocols.SetHTTP2(strings.Contains(name, "/2 over"))
		protocols.SetUnencryptedHTTP2(strings.Contains(name, "clear"))
		transport := &http.Transport{Protocols: &protocols}
		scheme := "https"
		if strings.Contains(name, "clear") {
			scheme, transport.DialContext = "http", func(context.Context, string, string) (net.Conn, error) { return connect() }
		} else {
			transport.DialTLSContext = func(context.Context, string, string) (net.Conn, error) { return connect() }
		}
		res, err := (&http.Client{Transport: transport, Timeout: patience}).Get(scheme + "://weir.test/")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if string(body) != "[2001:db8::7]:4000" {
			t.Errorf("%s: got %s", name, body)
		}
		transport.CloseIdleConnections()
	}
}

func TestConnectionsWithoutAHeaderThatCountsAreClosed(t *testing.T) {
	elsewhere := &listen.Announced{By: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	h := announcement("198.51.100.7:4000")
	const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, test := range map[string]struct {
		announced *listen.Announced
		text      string
	}{
		"a stranger":                  {elsewhere, string(h.AppendV1(nil)) + request},
		"no header":                   {loopback, request},
		"a header that is none":       {loopback, "PROXY TCP4 a b c d\r\n" + request},
		"TLS":                         {loopback, "\x16\x03\x01\x02\x00"},
		"a header that never ends":    {loopback, "PROXY TCP4 "},
		"a line that never ends":      {loopback, "PROXY UNKNOWN " + strings.Repeat("x", 200)},
		"nothing at all":              {loopback, ""},
		"a header and half a request": {loopback, string(h.AppendV2(nil)) + "GET"},
	} {
		address := start(t, listen.Options{Handler: http.HandlerFunc(sayPeer), Announced: test.announced, Limits: config.Limits{FirstRequest: 200 * time.Millisecond}})
		conn := dial(t, address)
		send(t, conn, test.text)
		rest, _ := io.ReadAll(conn) // a reset is as good as any other end
		if text := string(rest); text != "" && !strings.Contains(text, "request-timeout") {
			t.Errorf("%s: got %q", name, rest)
		}
	}
}

func TestWhoMayUseAUnixSocketMayAnnounce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := listen.Open(t.Context(), "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	start(t, listen.Options{Listener: listener, Handler: http.HandlerFunc(sayPeer), Announced: &listen.Announced{}})
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send(t, conn, string(announcement("198.51.100.7:4000").AppendV2(nil))+"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if got := receive(t, bufio.NewReader(conn)).body; got != "198.51.100.7:4000" {
		t.Errorf("got %s", got)
	}
}
