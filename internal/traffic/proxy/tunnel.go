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

// tunnelBytes is the size of a tunnel's buffers. Tunnels live long and mostly wait, so
// their buffers are smaller than those of responses.
const tunnelBytes = 8 << 10

// halfClosedIdle is how long a tunnel may be quiet once one side has ended its direction,
// so that the proxy does not wait forever for a side that vanished.
const halfClosedIdle = time.Minute

var tunnelBuffers = sync.Pool{New: func() any { return new([tunnelBytes]byte) }}

// duplex is what both ends of a tunnel can do.
type duplex interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// tunnel joins client and backend after the backend has switched to the requested protocol.
// Only that makes a tunnel: any other answer is an ordinary response, and the client's
// connection keeps speaking HTTP.
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

// breaksOff is a duplex that can end in the way a lost connection ends.
type breaksOff interface{ BreakOff() error }

// join copies in both directions until both have ended, one has failed or ctx is done, and
// then closes both ends. If one end was lost, join breaks off the other too: a peer that
// recognises the end of the data only by the end of the connection must not take truncated
// data for complete. If server ends meanwhile and the protocol has a message for it, the
// client is told.
func join(ctx context.Context, client, backend duplex, protocol string, server exchange.Server) {
	closeBoth := func() {
		_ = client.Close() // a reader or writer sees what comes of it
		_ = backend.Close()
	}
	side, forget := saysFarewell(client, protocol, server, closeBoth)
	defer forget() // once nothing is written any more
	defer closeBoth()
	defer context.AfterFunc(ctx, closeBoth)()
	quiet := new(watch)
	quiet.start(config.Timeouts{Idle: halfClosedIdle}, expiring(func(error) { closeBoth() }))
	defer quiet.stop()
	direction := func(to, from duplex, far any) {
		err := pipe(to, from, quiet)
		if end, ok := far.(breaksOff); ok && isLoss(err) {
			_ = end.BreakOff() // a reader or writer sees what comes of it
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

// pipe copies one direction, and ends it at the far end when the near end has ended it. An
// error is the reason why the tunnel cannot continue. If the far end accepts no more, the
// tunnel continues: the last data of the far end, and perhaps its reason, is still to be read.
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

// lostError is the error of a Read from one end of a tunnel.
type lostError struct{ error }

func (e lostError) Unwrap() error { return e.error }

// isLoss reports whether an error of pipe means that a connection was lost. It does not if
// the proxy has closed the connection, nor if the peer has left TLS without a close_notify,
// as many do.
func isLoss(err error) bool {
	_, lost := errors.AsType[lostError](err)
	return lost && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrUnexpectedEOF)
}
