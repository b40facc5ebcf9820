package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/config"
)

// tunnelBytes is the size of a tunnel's buffers. Tunnels live long and mostly wait,
// so that theirs are smaller than those of responses.
const tunnelBytes = 8 << 10

// halfClosedIdle is how long a tunnel may be quiet once one side has ended its
// direction. A side that vanished is then not waited for without end.
const halfClosedIdle = time.Minute

var tunnelBuffers = sync.Pool{New: func() any { return new([tunnelBytes]byte) }}

// duplex is what both ends of a tunnel can do.
type duplex interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// tunnel joins client and backend after the backend has switched to the protocol that
// was asked for. Only that makes a tunnel: any other answer is a response like
// every other, and the client's connection keeps speaking HTTP.
func (t *passage) tunnel(ctx context.Context, res *http.Response) {
	defer func() { _ = res.Body.Close() }() // the tunnel is over
	agreed := forward.UpgradeOf(exchange.ResponseHead(res))
	backend, ok := res.Body.(duplex)
	if t.upgrade == "" || !strings.EqualFold(agreed, t.upgrade) || !ok {
		t.fail(fault.BackendInvalid.New("", fault.Internal("101 to %q where %q was asked for", agreed, t.upgrade)))
		return
	}
	t.watch.stop()
	head := exchange.NewHead(t.r)
	forward.Response(head, exchange.ResponseHead(res))
	head.Del("Content-Length")
	forward.SetUpgrade(head, agreed)
	client, err := t.writer.Upgrade(head)
	if err != nil {
		t.fail(fault.UpgradeRefused.New("", fault.Cause(err)))
		return
	}
	join(ctx, client, backend, agreed, t.exchange.Server)
}

// breaksOff is a duplex that can end as a connection does that was lost.
type breaksOff interface{ BreakOff() error }

// join copies both ways until both directions have ended, one has failed or ctx is done.
// Both ends are closed then. Where one was lost, so is the other: what was cut must not look
// whole to who sees it only by the end of the connection. A client is told where server ends meanwhile and the
// protocol has a word for it.
func join(ctx context.Context, client, backend duplex, protocol string, server exchange.Server) {
	closeBoth := func() {
		_ = client.Close() // what comes of it is seen by who reads or writes
		_ = backend.Close()
	}
	side, forget := saysFarewell(client, protocol, server, closeBoth)
	defer forget() // once nobody writes any more
	defer closeBoth()
	defer context.AfterFunc(ctx, closeBoth)()
	quiet := new(watch)
	quiet.start(config.Timeouts{Idle: halfClosedIdle}, expiring(func(error) { closeBoth() }))
	defer quiet.stop()
	direction := func(to, from duplex, far any) {
		err := pipe(to, from, quiet)
		if end, ok := far.(breaksOff); ok && isLoss(err) {
			_ = end.BreakOff() // what comes of it is seen by who reads or writes
		}
		if err != nil {
			closeBoth()
		}
		quiet.begin()
	}
	var other sync.WaitGroup
	other.Go(func() { direction(side, backend, client) })
	direction(backend, side, backend)
	other.Wait()
}

// pipe copies one direction and ends it at its far end when the near one has ended.
// An error tells why the tunnel cannot go on. Where the far end takes no more it can:
// what that end has said last, and perhaps why, is still to be read.
func pipe(to, from duplex, quiet *watch) error {
	buf, _ := tunnelBuffers.Get().(*[tunnelBytes]byte)
	defer tunnelBuffers.Put(buf)
	for {
		n, err := from.Read(buf[:])
		quiet.touch()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return nil
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return to.CloseWrite()
		case err != nil:
			return lostError{err}
		}
	}
}

// lostError is what a Read of one end of a tunnel has failed with.
type lostError struct{ error }

func (e lostError) Unwrap() error { return e.error }

// isLoss tells of an error of pipe that a connection was lost. It was not where we have closed it, nor where its other
// side has left TLS without a word, as many do.
func isLoss(err error) bool {
	_, lost := errors.AsType[lostError](err)
	return lost && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrUnexpectedEOF)
}
