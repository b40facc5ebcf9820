package telemetryapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// sender delivers batches. One goroutine uses it.
type sender interface {
	send(ctx context.Context, batch [][]byte) error
	close()
}

func newSender(to destination) sender {
	if to.url == "" {
		return &lineSender{address: to.address}
	}
	transport := &http.Transport{ // no proxy, and whatever name the URL has, it connects to this machine
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, to.address)
		},
		DisableCompression: true,
	}
	return &httpSender{to: to, transport: transport}
}

// httpSender posts a batch as a JSON list. A status that is not a success is an error.
type httpSender struct {
	to        destination
	transport *http.Transport
}

func (s *httpSender) send(ctx context.Context, batch [][]byte) error {
	body := make([]byte, 0, sizeOf(batch)+len(batch)+1)
	body = append(body, '[')
	body = append(body, bytes.Join(batch, []byte{','})...)
	body = append(body, ']')
	r, err := http.NewRequestWithContext(ctx, s.to.method, s.to.url, bytes.NewReader(body))
	if err != nil {
		return err //nolint:wrapcheck // the address was read before
	}
	exchange.RequestHead(r).Set("Content-Type", "application/json")
	res, err := s.transport.RoundTrip(r) // follows no redirect
	if err != nil {
		return err //nolint:wrapcheck // it names what failed
	}
	defer func() { _ = res.Body.Close() }()
	const mostRead = 64 << 10
	_, _ = io.CopyN(io.Discard, res.Body, mostRead) // so that the connection can be used again
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("it answers %s", res.Status)
	}
	return nil
}

func (s *httpSender) close() { s.transport.CloseIdleConnections() }

// lineSender writes a line for each record to one connection. It cannot tell whether they were read.
type lineSender struct {
	address string
	conn    net.Conn
}

func (s *lineSender) send(ctx context.Context, batch [][]byte) (err error) {
	if s.conn == nil {
		if s.conn, err = new(net.Dialer).DialContext(ctx, "tcp", s.address); err != nil {
			return err //nolint:wrapcheck // it names what failed
		}
	}
	deadline, _ := ctx.Deadline()
	_ = s.conn.SetWriteDeadline(deadline) // a TCP connection supports deadlines
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err = s.conn.Write(append(bytes.Join(batch, []byte{'\n'}), '\n')); err != nil {
		s.close() // half a line may have been written: what follows needs a new connection
	}
	return err //nolint:wrapcheck // it names what failed
}

func (s *lineSender) close() {
	if s.conn != nil {
		_ = s.conn.Close() // nothing more is written to it
		s.conn = nil
	}
}

func sizeOf(batch [][]byte) (n int) {
	for _, one := range batch {
		n += len(one)
	}
	return n
}
