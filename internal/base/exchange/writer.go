package exchange

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
)

// Tunnel is a connection after an upgrade (101): bytes both ways.
type Tunnel interface {
	io.ReadWriteCloser
	// CloseWrite ends the sending direction only; the other end reads EOF.
	CloseWrite() error
	SetDeadline(t time.Time) error
}

// Upgrader is a response writer that can switch protocols.
type Upgrader interface {
	// Upgrade writes a 101 response with head and returns the client's side as a Tunnel, which the caller closes.
	// Queued head operations are applied.
	Upgrade(head Head) (Tunnel, error)
}

// Writer is the one response writer of an exchange: it applies the queued head operations, counts bytes, and turns late
// errors into an aborted stream. It is made by Begin, and nothing else in Weir wraps a writer.
type Writer struct {
	w       http.ResponseWriter
	r       *http.Request
	x       *Exchange
	lines   *Lines // that w's map stands for, unless it is made plain; nil: there never were any
	status  int    // 0 until the final head is written
	written int64
	err     error
	tunnel  *tunnel // nil: there was no upgrade
}

// Begin puts x into the context of r and returns the writer that all further code uses. The caller must call Finish
// when the handler has returned.
func Begin(w http.ResponseWriter, r *http.Request, x *Exchange) (*Writer, *http.Request) {
	r = begin(r, x)
	ew := &x.writer
	*ew = Writer{}
	ew.w, ew.r, ew.x, ew.lines = w, r, x, linesOf(w, r)
	if r.ProtoAtLeast(1, 1) {
		x.Informational = ew
	}
	return ew, r
}

// WriteHeader writes the head; informational ones may come before the final one.
func (w *Writer) WriteHeader(status int) {
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		w.w.WriteHeader(status)
		return
	}
	if w.status != 0 {
		return
	}
	w.status = status
	if w.x.onHead.op != nil {
		w.x.applyHead(status, w.Head())
	}
	if w.r.ProtoMajor == 1 && w.x.Server != nil && w.x.Server.Leaving() { // HTTP/2 announces it in another way
		w.Head().Set("Connection", "close")
	}
	if w.lines == nil || w.lines.IsPlain() {
		leaveUntyped(w.w)
	}
	w.w.WriteHeader(status)
}

func (w *Writer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	n, err := w.w.Write(p)
	w.written += int64(n)
	if err != nil && w.err == nil {
		w.err = err
	}
	return n, err
}

// ReadFrom lets io.Copy reach the engine's own fast path.
func (w *Writer) ReadFrom(src io.Reader) (int64, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	n, err := io.Copy(w.w, src)
	w.written += n
	return n, err
}

// Unwrap lets http.ResponseController find Flush and the deadlines.
func (w *Writer) Unwrap() http.ResponseWriter { return w.w }

// Status is the final status written so far, 0 before.
func (w *Writer) Status() int { return w.status }

// Fail answers with err as a problem. If the head has already been written, it aborts the client's stream instead
// (RST_STREAM, or a connection closed without the last chunk), so that a truncated body can never look complete.
func (w *Writer) Fail(err error) {
	f := fault.From(err)
	if w.x.Fault == nil {
		w.x.Fault = f
	}
	if w.err == nil {
		w.err = err
	}
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	answer(w, w.Head(), w.r, f, fault.Context{RequestID: w.x.RequestID(), Verbose: w.x.Verbose, Late: late(w.r, time.Since(w.x.Start))})
}

// Finish ends the exchange: it runs the done hooks with the outcome, and returns the outcome too. abort is the reason
// if the handler was stopped by a panic, and nil otherwise.
func (w *Writer) Finish(abort error) Outcome {
	if w.status == 0 && w.tunnel == nil && abort == nil {
		w.WriteHeader(http.StatusOK)
	}
	if w.err == nil {
		w.err = abort
	}
	if w.tunnel != nil {
		w.x.Received += w.tunnel.received.Load()
		w.written += w.tunnel.written.Load()
	}
	o := Outcome{Status: w.status, Written: w.written, Err: w.err, Took: time.Since(w.x.Start)}
	if w.x.onDone != nil {
		w.x.End(o)
	}
	return o
}

// Inform implements Informer: it writes a 1xx response unless the final head has been written.
func (w *Writer) Inform(status int, head Head) {
	if w.status != 0 || status < 100 || status > 199 || status == http.StatusSwitchingProtocols {
		return
	}
	writeHints(w.w, status, head)
}

// Raw is implemented by a connection that inspects the bytes it passes on. Calling it stops the inspection, because
// another protocol begins.
type Raw interface{ Raw() }

// Upgrade implements Upgrader on HTTP/1.1 by taking over the connection.
func (w *Writer) Upgrade(head Head) (Tunnel, error) {
	if w.status != 0 {
		return nil, errors.New("upgrade after the response head")
	}
	conn, buffered, err := http.NewResponseController(w.w).Hijack()
	if err != nil {
		return nil, err
	}
	if raw, ok := conn.(Raw); ok {
		raw.Raw()
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	w.status, w.tunnel = http.StatusSwitchingProtocols, &tunnel{Conn: conn, in: buffered.Reader}
	w.x.applyHead(w.status, head)
	out := buffered.Writer
	_, _ = out.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	writeFields(out, head)
	_, _ = out.WriteString("\r\n")
	if err := out.Flush(); err != nil { // a bufio.Writer keeps its first error
		return nil, errors.Join(err, conn.Close())
	}
	return w.tunnel, nil
}

// tunnel reads what the server has buffered before it reads from the connection.
type tunnel struct {
	net.Conn
	in                *bufio.Reader // nil once it is empty
	received, written atomic.Int64
}

// Read bypasses the server's reader as soon as that is empty: net/http's reader would take the client's half-close for
// the end of the connection and cancel the request's context.
func (t *tunnel) Read(p []byte) (int, error) {
	n, err := t.read(p)
	t.received.Add(int64(n))
	return n, err
}

func (t *tunnel) Write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	t.written.Add(int64(n))
	return n, err
}

func (t *tunnel) read(p []byte) (int, error) {
	if t.in == nil {
		return t.Conn.Read(p)
	}
	if n := t.in.Buffered(); n > 0 {
		return t.in.Read(p[:min(n, len(p))])
	}
	t.in = nil
	return t.Conn.Read(p)
}

// BreakOff ends both directions in the way a lost connection ends.
func (t *tunnel) BreakOff() error { return BreakOff(t.Conn) }

func (t *tunnel) CloseWrite() error {
	if half, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return t.Close()
}
