package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/backoff"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local/pool"
)

// web is the contract of Cloud Run: each instance serves HTTP on PORT.
type web struct {
	handler     string
	concurrency int
	ports       *ports   // shared by the machine
	tells       []string // the variables that tell an instance its port
	silent      bool     // an instance is ready when it listens, because it expects only requests for its functions
}

func (*web) close() {}

func (w *web) launch(ctx context.Context, v *version) (*instance, error) {
	shared := map[string]string{"HOST": loopback}
	if w.handler != "" {
		shared["FUNCTION_TARGET"] = w.handler
	}
	return v.launchProcess(ctx, shared, w.link)
}

func (w *web) link() (link, error) {
	address, err := w.ports.take()
	if err != nil {
		return nil, err
	}
	return &webLink{address: address, tells: w.tells, silent: w.silent, ports: w.ports, transport: newTransport(address, w.concurrency)}, nil
}

// webLink is the port of one instance and the connections to it.
type webLink struct {
	address   string
	tells     []string
	silent    bool
	ports     *ports
	transport *http.Transport
}

// newTransport makes the client of one instance. It is the only code here that knows net/http's client.
func newTransport(address string, connections int) *http.Transport {
	const (
		maxHead = 1 << 20
		// idle is shorter than the 5 s after which Node.js closes an idle connection, so that no request meets a
		// connection that is just being closed.
		idle        = 3 * time.Second
		continue100 = time.Second
	)
	return &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		},
		DisableCompression: true, MaxIdleConnsPerHost: connections, IdleConnTimeout: idle,
		ExpectContinueTimeout: continue100, MaxResponseHeaderBytes: maxHead,
	}
}

func (l *webLink) variables() map[string]string {
	_, port, _ := net.SplitHostPort(l.address) // is a listener's own address
	told := make(map[string]string, len(l.tells))
	for _, name := range l.tells {
		told[name] = port
	}
	return told
}

func (*webLink) places() int { return 0 }

func (*webLink) complaint() *function.Failure { return nil }

func (l *webLink) close(error) {
	l.transport.CloseIdleConnections()
	l.ports.release(l.address)
}

// taken reports whether something listens on the port.
func (l *webLink) taken() bool {
	probe, err := new(net.ListenConfig).Listen(context.Background(), "tcp", l.address)
	if err == nil {
		err = probe.Close()
	}
	return err != nil
}

// await sends requests until there is an answer of any kind. OPTIONS * is the request that is about the server as a
// whole and not a resource (RFC 9110 section 9.3.7), so that functions ignore it.
func (l *webLink) await(ctx context.Context) error {
	const shortest, longest = time.Millisecond, 50 * time.Millisecond
	var last error
	for pauses := backoff.New(shortest, longest); ; {
		if last = l.probe(ctx); last == nil {
			return nil
		}
		select {
		case <-time.After(pauses.Next()):
		case <-ctx.Done():
			return fmt.Errorf("%w; at last: %w", context.Cause(ctx), last)
		}
	}
}

func (l *webLink) probe(ctx context.Context) error {
	const patience = time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if l.silent {
		conn, err := l.transport.DialContext(ctx, "tcp", l.address)
		if err != nil {
			return l.unanswered(err)
		}
		return conn.Close() //nolint:wrapcheck // nothing was sent
	}
	r := (&http.Request{
		Method: http.MethodOptions, URL: &url.URL{Scheme: "http", Host: l.address, Opaque: "*"}, Host: l.address,
	}).WithContext(ctx)
	exchange.RequestHead(r).Set("User-Agent", "weir-readiness")
	res, err := l.transport.RoundTrip(r)
	if err != nil {
		return l.unanswered(err)
	}
	return res.Body.Close() //nolint:wrapcheck // never fails
}

func (l *webLink) unanswered(err error) error {
	return fmt.Errorf("no answer on %s; does it listen on the port that the variable %s names? %w", l.address, l.tells[0], err)
}

// roundTrip passes r on unchanged.
func (w *web) roundTrip(b *backend, r *http.Request) (*http.Response, error) {
	body := r.Body
	if body != nil && body != http.NoBody {
		r.Body = io.NopCloser(body) // the client would close it although another try may be possible
	}
	res, err := b.ask(r, func(place *lease) (*http.Response, error) { return w.forward(b.timeout(), r, place) })
	r.Body = body
	if err != nil {
		return nil, err // and RoundTrip closes the body
	}
	if body != nil {
		res.Body = releasing(res.Body, func() { _ = body.Close() }) // the unread rest of it is not needed
	}
	return res, nil
}

// forward lets one instance answer r. The lease is released when the response's body is closed. The timeout ends with
// the response's head, so that streams may go on.
func (w *web) forward(timeout time.Duration, r *http.Request, place *lease) (*http.Response, error) {
	return w.converse(timeout, r, place, func(*http.Response) error { return nil })
}

// converse is forward for an answer that is complete only after finish. The timeout runs until then.
func (w *web) converse(timeout time.Duration, r *http.Request, place *lease, finish func(*http.Response) error) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	timer := time.AfterFunc(timeout, cancel)
	over := func(v pool.Verdict) {
		cancel()
		place.Release(v)
	}
	link := place.Instance().link.(*webLink) //nolint:forcetypeassert // these contracts make no other links
	var sent atomic.Bool
	hints := exchange.Of(r).Hints(maxHints)
	res, err := link.transport.RoundTrip(outgoing(ctx, r, link.address, hints, &sent))
	hints.End()
	if err == nil {
		if err = finish(res); err != nil {
			_ = res.Body.Close() // the rest will not be read
		}
	}
	switch late := !timer.Stop(); {
	case late && r.Context().Err() == nil:
		if err == nil {
			_ = res.Body.Close() // it came a moment too late
		}
		over(pool.Poisoned)
		return nil, timedOut(place, timeout)
	case err != nil && hints.TooLong():
		over(pool.Poisoned)
		return nil, fault.FunctionBadResponse.New("", fault.Cause(exchange.ErrHintsTooLong))
	case err != nil:
		verdict, err := failed(r, place, err, sent.Load())
		over(verdict)
		return nil, err
	}
	res.Body = releasing(res.Body, func() { over(pool.Served) })
	return res, nil
}

// maxHints bounds the 1xx responses to one request, in bytes.
const maxHints = 64 << 10

// outgoing makes the request to the instance: a copy of r with the instance's address. It sets sent once the request's
// head has been written.
func outgoing(ctx context.Context, r *http.Request, address string, hints *exchange.Hints, sent *atomic.Bool) *http.Request {
	trace := &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }}
	if hints != nil {
		trace.Got1xxResponse = hints.Pass
	}
	out := r.WithContext(httptrace.WithClientTrace(ctx, trace))
	target := *r.URL
	target.Scheme, target.Host = "http", address
	out.URL, out.RequestURI = &target, ""
	exchange.Plain(out) // net/http reads the maps
	if head := exchange.RequestHead(out); head.Get("User-Agent") == "" {
		head.Set("User-Agent", "") // so that the client does not add its own
	}
	return out
}

// crashNotice is how long the loss of a connection may precede the notice that the process has ended.
const crashNotice = 500 * time.Millisecond

// failed says what an error of the connection means for the client and for the instance. If the request was sent, a
// refused connection comes from net/http, which has retried a repeatable request by itself: the instance was killed at
// that moment, or ended because of the request.
func failed(r *http.Request, place *lease, err error, sent bool) (pool.Verdict, error) {
	if r.Context().Err() != nil {
		return pool.Served, context.Cause(r.Context())
	}
	var op *net.OpError
	gone := errors.As(err, &op) && op.Op == "dial" // it no longer listens
	notice := time.NewTimer(crashNotice)
	defer notice.Stop()
	select {
	case <-place.Instance().Done():
		err = place.Instance().Failure()
	case <-notice.C:
		if place.Instance().ended() {
			<-place.Instance().Done()
			err = place.Instance().Failure()
			break
		}
		err = fault.BackendReset.New("", fault.Internal("%s is alive, but", place.Instance().name), fault.Cause(err))
	}
	if gone {
		return pool.Poisoned, &unseenError{error: err, sent: sent}
	}
	return pool.Served, err
}

// duplex is the body of a 101 response: the connection itself, whose two directions end separately.
type duplex interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// releasing returns a body that calls release once, when it is closed. A duplex stays a duplex.
func releasing(body io.ReadCloser, release func()) io.ReadCloser {
	closing := &leasedBody{ReadCloser: body, release: sync.OnceFunc(release)}
	if both, ok := body.(duplex); ok {
		return &leasedTunnel{closing, both}
	}
	return closing
}

type leasedBody struct {
	io.ReadCloser
	release func()
}

func (b *leasedBody) Close() error {
	defer b.release()
	return b.ReadCloser.Close() //nolint:wrapcheck // the body's own
}

type leasedTunnel struct {
	*leasedBody
	sending duplex
}

func (t *leasedTunnel) Write(p []byte) (int, error) { return t.sending.Write(p) } //nolint:wrapcheck // the connection's own

// CloseWrite ends the sending direction. The function reads EOF.
func (t *leasedTunnel) CloseWrite() error { return t.sending.CloseWrite() } //nolint:wrapcheck // the connection's own
