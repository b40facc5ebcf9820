package coalesce_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/filter/coalesce"
)

// watched is a body that tells whether it was closed, as a function's place is only free
// again then.
type watched struct {
	io.Reader

	closed atomic.Bool
}

func (w *watched) Close() error {
	w.closed.Store(true)
	return nil
}

func TestAResponseIsClosedThoughTheOneWhoHasAskedLeavesBeforeItsHead(t *testing.T) {
	const most = 100
	large := strings.Repeat("x", most+1)
	for _, test := range []struct {
		name   string
		alone  bool
		body   string
		length int64
		field  exchange.Field
	}{
		{name: "nobody else waits", alone: true, body: "a", length: 1},
		{name: "it may be shared", body: "a", length: 1},
		{name: "a cookie", body: "a", length: 1, field: exchange.Field{Name: "Set-Cookie", Value: "a=b"}},
		{name: "one of a kind", body: "a", length: 1, field: exchange.Field{Name: "Vary", Value: "*"}},
		{name: "events", body: "data: a\n\n", length: -1, field: exchange.Field{Name: "Content-Type", Value: "text/event-stream"}},
		{name: "too large by its length", body: large, length: most + 1},
		{name: "too large as it comes", body: large, length: -1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var bodies []*watched
				proceed := make(chan struct{})
				b := &backend{respond: func(r *http.Request, n int64) (*http.Response, error) {
					if n == 1 {
						<-proceed // whatever becomes of r: its end may race with the head
					}
					res := exchange.NewResponse(r, http.StatusOK)
					if test.field.Name != "" {
						exchange.ResponseHead(res).Add(test.field.Name, test.field.Value)
					}
					body := &watched{Reader: strings.NewReader(test.body)}
					bodies = append(bodies, body)
					res.Body, res.ContentLength = body, test.length
					return res, nil
				}}
				road := adapt(t, b, func(c *coalesce.Config) { c.Body = most })
				ctx, leave := context.WithCancel(t.Context())
				var all sync.WaitGroup
				all.Go(func() {
					if got := read(road.RoundTrip(request(ctx, "GET", "/a"))); !errors.Is(got.err, context.Canceled) {
						t.Errorf("the one who has asked and left got %+v", got)
					}
				})
				synctest.Wait()
				if !test.alone {
					all.Go(func() {
						if got := read(road.RoundTrip(request(t.Context(), "GET", "/a"))); got.body != test.body || got.err != nil {
							t.Errorf("the one who has joined got %+v", got)
						}
					})
					synctest.Wait()
				}
				leave()
				synctest.Wait()
				close(proceed)
				all.Wait()
				synctest.Wait()
				for i, body := range bodies {
					if !body.closed.Load() {
						t.Errorf("the body of call %d of %d was never closed", i+1, len(bodies))
					}
				}
			})
		})
	}
}

func TestAResponseIsClosedThoughTheOneWhoHasAskedLeavesWithItsHead(t *testing.T) {
	for range 100 { // which of the two is seen first is left to chance
		synctest.Test(t, func(t *testing.T) {
			body := &watched{Reader: strings.NewReader("a")}
			ctx, leave := context.WithCancel(t.Context())
			b := &backend{respond: func(r *http.Request, _ int64) (*http.Response, error) {
				res := exchange.NewResponse(r, http.StatusOK)
				res.Body, res.ContentLength = body, 1
				leave()
				return res, nil
			}}
			_ = read(adapt(t, b, nil).RoundTrip(request(ctx, "GET", "/a"))) // either is right
			synctest.Wait()
			if !body.closed.Load() {
				t.Fatal("the body was never closed")
			}
		})
	}
}
