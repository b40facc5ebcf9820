package exchange_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"syscall"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
)

// above stands above a connection.
type above struct{ net.Conn }

func (a above) NetConn() net.Conn { return a.Conn }

func TestWhatIsBrokenOffIsNoEnd(t *testing.T) {
	for name, c := range map[string]struct {
		secured bool
		over    func(net.Conn) net.Conn
		is      error
	}{
		"TCP":                 {false, func(c net.Conn) net.Conn { return c }, syscall.ECONNRESET},
		"something above TCP": {false, func(c net.Conn) net.Conn { return above{c} }, syscall.ECONNRESET},
		"TLS":                 {true, func(c net.Conn) net.Conn { return above{c} }, syscall.ECONNRESET},
		"a pipe":              {false, nil, io.EOF}, // which knows no other end
	} {
		t.Run(name, func(t *testing.T) {
			near, far := ends(t, c.over == nil)
			if c.over != nil {
				near = c.over(near)
			}
			if c.secured {
				issued := httptest.NewTLSServer(nil)
				defer issued.Close()
				server := tls.Server(near, &tls.Config{Certificates: issued.TLS.Certificates})
				client := tls.Client(far, &tls.Config{InsecureSkipVerify: true})
				done := make(chan error, 1)
				go func() { done <- server.Handshake() }()
				if err := errors.Join(client.Handshake(), await.From(t, "the handshake", done)); err != nil {
					t.Fatal(err)
				}
				near, far = server, client
			}
			if err := exchange.BreakOff(near); err != nil {
				t.Fatal(err)
			}
			if _, err := far.Read(make([]byte, 1)); !errors.Is(err, c.is) {
				t.Errorf("the other end reads %v", err)
			}
		})
	}
}

func ends(t *testing.T, pipe bool) (near, far net.Conn) {
	t.Helper()
	if pipe {
		return net.Pipe()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if far, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() }) // it was broken off
	if near, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}
