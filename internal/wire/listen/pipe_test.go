package listen_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/http2"
	"github.com/weir-gateway/weir/internal/wire/listen"
)

// pipes is a listener inside a synctest bubble. Its connections buffer nothing: what a client has written, the server
// has read.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// begin starts a server in the synctest bubble of the test. In the bubble, time passes only when nothing else
// happens.
func begin(t *testing.T, o listen.Options) *inside {
	t.Helper()
	return beginWith(t, o, slog.New(slog.DiscardHandler))
}

func beginWith(t *testing.T, o listen.Options, log *slog.Logger) *inside {
	t.Helper()
	b := &inside{pipes: &pipes{conns: make(chan net.Conn), done: make(chan struct{})}}
	o.Listener, o.Log, o.Ended = b.pipes, log, b.note
	o.Engine = config.Engine(*engine)
	server := listen.New(o)
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	t.Cleanup(func() {
		b.closeAll()
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		if err := server.Shutdown(ctx, atOnce()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return b
}

// inside is what a test in a bubble works with.
type inside struct {
	*pipes

	mu      sync.Mutex
	clients []net.Conn
	told    []string
}

func (b *inside) note(reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = append(b.told, reason)
}

// endings returns the reasons for ended connections that the server has reported so far.
func (b *inside) endings() []string {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.told
}

func (b *inside) dial() net.Conn {
	client, server := net.Pipe()
	b.mu.Lock()
	b.clients = append(b.clients, client)
	b.mu.Unlock()
	b.conns <- local{server}
	return client
}

// local is a connection from this machine, which may announce clients.
type local struct{ net.Conn }

func (local) RemoteAddr() net.Addr { return &net.UnixAddr{Name: "client", Net: "unix"} }

func (b *inside) closeAll() {
	for _, c := range b.clients {
		_ = c.Close()
	}
}

// h2 is an HTTP/2 client that does whatever the test tells it to. A goroutine reads what the server sends and
// remembers the codes of GOAWAY frames.
type h2 struct {
	*xhttp2.Framer

	conn  net.Conn
	hpack *hpack.Encoder
	block writer

	mu     sync.Mutex
	goaway []xhttp2.ErrCode
	ended  chan struct{} // the server has closed the connection
	answer chan uint32   // streams whose response has ended
}

// writer is a buffer that returns what was written since the last call.
type writer struct{ b []byte }

func (w *writer) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// newH2 starts HTTP/2 on a connection.
func newH2(conn net.Conn) *h2 {
	c := &h2{conn: conn, ended: make(chan struct{}), answer: make(chan uint32, 1000)}
	c.hpack = hpack.NewEncoder(&c.block)
	c.Framer = xhttp2.NewFramer(conn, conn)
	c.AllowIllegalWrites = true
	go c.read()
	return c
}

// hello sends the preface, SETTINGS and the acknowledgement of the server's SETTINGS, as every client does.
func (c *h2) hello(t *testing.T) {
	t.Helper()
	_, err := io.WriteString(c.conn, http2.Preface)
	if err := errors.Join(err, c.WriteSettings(), c.WriteSettingsAck()); err != nil {
		t.Fatal(err)
	}
}

func (c *h2) read() {
	defer close(c.ended)
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			return
		}
		switch f := frame.(type) {
		case *xhttp2.GoAwayFrame:
			c.mu.Lock()
			c.goaway = append(c.goaway, f.ErrCode)
			c.mu.Unlock()
		case *xhttp2.HeadersFrame:
			c.note(f.StreamID, f.StreamEnded())
		case *xhttp2.DataFrame:
			c.note(f.StreamID, f.StreamEnded())
		}
	}
}

func (c *h2) note(stream uint32, ended bool) {
	if ended {
		select {
		case c.answer <- stream:
		default: // the test does not wait for this
		}
	}
}

func (c *h2) goaways() []xhttp2.ErrCode {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.goaway
}

// request writes the head of a request.
func (c *h2) request(stream uint32, method string, end bool, more ...string) error {
	return c.WriteHeaders(xhttp2.HeadersFrameParam{
		StreamID: stream, EndStream: end, EndHeaders: true, BlockFragment: c.fields(method, more...),
	})
}

func (c *h2) fields(method string, more ...string) []byte {
	c.block.b = nil
	fields := append([]string{":method", method, ":scheme", "http", ":authority", "a", ":path", "/"}, more...)
	for i := 0; i < len(fields); i += 2 {
		_ = c.hpack.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}) // a write to a buffer cannot fail
	}
	return c.block.b
}

// secure performs the TLS handshake on the client's side of a pipe.
func secure(t *testing.T, conn net.Conn, certificate tls.Certificate, protocol string) net.Conn {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(certificate.Leaf)
	secured := tls.Client(conn, &tls.Config{
		RootCAs: pool, ServerName: "weir.test", NextProtos: []string{protocol}, MinVersion: tls.VersionTLS12,
		Time: func() time.Time { return certificate.Leaf.NotAfter.Add(-time.Minute) }, // the clock of a bubble starts long ago
	})
	if err := secured.Handshake(); err != nil {
		t.Fatal(err)
	}
	return secured
}
