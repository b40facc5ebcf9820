package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/poison"
	"github.com/weir-gateway/weir/internal/config"
)

// givenUp is the body of a response that nothing holds any more, nor its request.
type givenUp struct{ io.ReadCloser }

func (givenUp) Release() bool { return true }

// fired returns a timer that has fired.
func fired() *time.Timer {
	over := make(chan struct{})
	t := time.AfterFunc(0, func() { close(over) })
	<-over
	return t
}

// fireWatch lets the timer of p's content fire.
func fireWatch(p *passage) {
	over := make(chan struct{})
	p.watch.expirer = expiring(func(error) { close(over) })
	p.watch.idle = 1
	p.watch.begin()
	<-over
}

// heldBody is a body that was given from memory to this many attempts.
func heldBody(p *passage, attempts int) *body {
	b := newBody()
	b.taking = taking{passage: p, isHeld: true}
	p.exchange.Attempts = make([]exchange.Attempt, attempts)
	return b
}

// A passage is left to the garbage collector if its timer has fired, or if something may still hold its context,
// request or content.
func TestAPassageIsUsedAgainWhereNobodyCanHaveIt(t *testing.T) {
	for name, c := range map[string]struct {
		keep  func(*passage)
		again bool
	}{
		"nobody":                      {func(*passage) {}, true},
		"who waits for its end":       {func(p *passage) { p.ctx.Done() }, false},
		"a timer of its content":      {func(p *passage) { p.watch.idle = time.Hour; p.watch.begin() }, true},
		"a timer that has fired":      {fireWatch, false},
		"a timer of all":              {func(p *passage) { p.watch.total = time.AfterFunc(time.Hour, func() {}) }, true},
		"one of all that has fired":   {func(p *passage) { p.watch.total = fired() }, false},
		"who reads the client's body": {func(p *passage) { p.body = newBody() }, false},
		"who has had its content":     {func(p *passage) { p.body = heldBody(p, 1) }, true},
		"an attempt given up before":  {func(p *passage) { p.body = heldBody(p, 2) }, false},
	} {
		ctx := new(exchange.RequestContext)
		ctx.Under(t.Context())
		p := &passage{out: new(exchange.Loan)}
		p.r = (&http.Request{Method: name, Header: exchange.Ordered()}).WithContext(ctx)
		p.exchange = exchange.New(p.r)
		p.exchange.Alone()
		exchange.Begin(exchange.Nowhere(), p.r, p.exchange)
		p.ctx.Again(ctx)
		p.watch.start(config.Timeouts{}, p)
		p.out.Make(&p.ctx, p.r, exchange.RequestHead(p.r))
		c.keep(p)
		p.release(&http.Response{Body: givenUp{io.NopCloser(strings.NewReader(""))}})
		p.watch.stop()
		p.end()
		if again := p.r == nil; again != c.again {
			t.Errorf("%s: it is used again: %t", name, again)
		}
		if p.ctx.Err() == nil {
			t.Errorf("%s: its context goes on", name)
		}
		if ctx.Cancel(nil); ctx.Leave() != (c.again && !poison.On) {
			t.Errorf("%s: the request's own context is used again: %t", name, !c.again)
		}
		if kept := p.out.Request.Context(); poison.On && c.again && kept == context.Context(&p.ctx) {
			t.Errorf("%s: its request is still there", name)
		}
	}
}

// What is wrong with a client's content ends its request's context, and with that the transport may close the body
// before the read returns. The client is still told what is wrong.
func TestAClientsFaultIsKnownAlthoughTheBodyWasClosed(t *testing.T) {
	wrong := fault.MalformedRequest.New("A chunk size is not a plain hexadecimal number.")
	for err, want := range map[error]error{wrong: wrong, os.ErrDeadlineExceeded: nil} {
		b := newBody()
		b.taking = taking{passage: new(passage), source: io.NopCloser(readerFunc(func([]byte) (int, error) {
			b.closed.Store(true)
			return 0, err
		}))}
		if _, got := b.Read(make([]byte, 1)); got == nil || !errors.Is(b.failed(), want) {
			t.Errorf("after %v, a read returns %v, and the client's failure is %v", err, got, b.failed())
		}
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
