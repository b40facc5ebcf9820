package proxy

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/poison"
)

// givenUp is a response's body that nobody has any more, nor the request.
type givenUp struct{ io.ReadCloser }

func (givenUp) Release() bool { return true }

// A passage whose context, timer or request somebody may have still is left to the collector.
func TestAPassageIsUsedAgainWhereNobodyCanHaveIt(t *testing.T) {
	for name, c := range map[string]struct {
		keep  func(*passage)
		again bool
	}{
		"nobody":                      {func(*passage) {}, true},
		"who waits for its end":       {func(p *passage) { p.ctx.Done() }, false},
		"a timer of its content":      {func(p *passage) { p.watch.idle = time.Hour; p.watch.begin() }, false},
		"a timer of all":              {func(p *passage) { p.watch.total = time.AfterFunc(time.Hour, func() {}) }, false},
		"who reads the client's body": {func(p *passage) { p.body = new(body) }, false},
	} {
		ctx := new(exchange.RequestContext)
		ctx.Under(t.Context())
		p := &passage{out: new(exchange.Loan)}
		p.r = (&http.Request{Method: name, Header: exchange.Ordered()}).WithContext(ctx)
		p.exchange = exchange.New(p.r)
		p.exchange.Alone()
		exchange.Begin(exchange.Nowhere(), p.r, p.exchange)
		p.ctx.Again(ctx)
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
