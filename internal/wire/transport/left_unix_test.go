//go:build unix

package transport_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/secure/securetest"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// lateReader is a connection whose reader, from some time on, receives bytes only once the test lets it.
type lateReader struct {
	*net.TCPConn

	late        atomic.Bool
	came, hears chan struct{}
}

func (c *lateReader) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if c.late.Load() {
		select {
		case c.came <- struct{}{}:
		default:
		}
		<-c.hears
	}
	return n, err
}

// A request that must not be sent twice is not sent on a kept connection whose end has arrived at this machine but
// was not read yet.
func TestNothingThatIsSentOnceGoesToAConnectionThatWasLeft(t *testing.T) {
	if config.Engine(*engine) == config.OwnEngine {
		t.Skip("nobody reads from a connection that is kept: it is asked before each use, as the tests of http1.Client hold")
	}
	a := securetest.NewAuthority(t, "a")
	for protocol, secured := range map[string]*tls.Config{"http": nil, "https": {RootCAs: a.Pool()}} {
		t.Run(protocol, func(t *testing.T) {
			var certificates []tls.Certificate
			if secured != nil {
				certificates = []tls.Certificate{a.Issue([]string{"127.0.0.1"})}
			}
			for range 20 { // net/http does not keep a connection if it learns too late that the request was sent
				err := postToLeft(t, secured, certificates)
				if errors.Is(err, errNotKept) {
					continue
				}
				if failed, ok := errors.AsType[*exchange.SendError](err); !ok || failed.Sent != exchange.SentNothing || !failed.Reused || failed.Dial {
					t.Errorf("got %v", err)
				}
				return
			}
			t.Error("no connection was kept")
		})
	}
}

var errNotKept = errors.New("the connection was not kept")

// postToLeft returns the result of a request on a connection that has served two requests and that the other side has
// left since.
func postToLeft(t *testing.T, secured *tls.Config, certificates []tls.Certificate) error {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if secured != nil {
		l = tls.NewListener(l, &tls.Config{Certificates: certificates})
	}
	leave := make(chan struct{})
	var serving sync.WaitGroup
	serving.Go(func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		answering(c, 2)
		<-leave
		_ = c.Close()
	})
	defer serving.Wait()
	var dialled *lateReader
	tr := newTransport(t, transport.Options{TLS: secured, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if dialled != nil {
			return nil, errNotKept
		}
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		plain, _ := c.(*net.TCPConn)
		dialled = &lateReader{TCPConn: plain, came: make(chan struct{}, 1), hears: make(chan struct{})}
		return dialled, nil
	}})
	post := func() error {
		req := request(t, http.MethodPost, l.Addr().String(), strings.NewReader("order 1"))
		req.GetBody = nil
		res, err := tr.RoundTrip(req)
		if err == nil {
			exchange.Discard(res)
		}
		return err
	}
	for range 2 { // the connection lives and is reused
		if err := post(); err != nil {
			close(leave)
			return err
		}
	}
	dialled.late.Store(true)
	close(leave)
	await.From(t, "the end of the connection", dialled.came)
	serving.Wait() // over TLS the connection announces its end before it closes
	err = post()
	close(dialled.hears)
	return err
}
