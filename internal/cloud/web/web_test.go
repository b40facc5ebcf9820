package web_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/cloud"
	"github.com/weir-gateway/weir/internal/cloud/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sent is how a double of a platform answers one request.
type sent func(r *http.Request) (*http.Response, error)

func (s sent) RoundTrip(r *http.Request) (*http.Response, error) { return s(r) }

func site(name string, s sent) *web.Site {
	return &web.Site{Name: name, URL: &url.URL{Scheme: "https", Host: name + ".test:443", Path: "/f"}, Host: name + ".test", Send: s, Calls: cloud.NewPool(cloud.PoolBounds{Max: 10})}
}

func function(sites ...*web.Site) *web.Function {
	return web.New(web.Options{Name: "f", Platform: "a platform", Sites: sites, Log: slog.New(slog.DiscardHandler)},
		web.Bounds{Timeout: 10 * time.Second, Pool: cloud.PoolBounds{Max: 1, Size: 0, Wait: time.Second}})
}

// body notes what becomes of it.
type body struct {
	io.Reader

	closed atomic.Int64
}

func (b *body) Close() error { b.closed.Add(1); return nil }

func request(ctx context.Context, method string, content io.ReadCloser) *http.Request {
	r := httptest.NewRequestWithContext(ctx, method, "/x", http.NoBody)
	if content != nil {
		r.Body, r.ContentLength = content, -1
	}
	return exchange.With(r, &exchange.Exchange{ID: "1", Start: time.Now()})
}

func answer(status int, fields ...exchange.Field) *http.Response {
	return &http.Response{StatusCode: status, Header: head(fields), Body: io.NopCloser(strings.NewReader("ok"))}
}

func head(fields []exchange.Field) http.Header {
	h := http.Header{}
	for _, f := range fields {
		h.Set(f.Name, f.Value)
	}
	return h
}

var refused = &exchange.SendError{Endpoint: "a", Dial: true, Err: errors.New("refused")}

func TestABodyIsSentAgainOnlyWhole(t *testing.T) {
	for name, test := range map[string]struct {
		method string
		reads  bool // the first attempt reads some of the body
		again  bool // the proxy has the whole of it
		failed error
		status int // of the first attempt, where it has not failed
		calls  int
	}{
		"nothing was read":                          {method: "POST", failed: refused, calls: 2},
		"some was read, and is gone":                {method: "PUT", reads: true, failed: &exchange.SendError{Sent: exchange.SentPartly, Err: io.EOF}, calls: 1},
		"some was read, and is held":                {method: "PUT", reads: true, again: true, failed: &exchange.SendError{Sent: exchange.SentPartly, Err: io.EOF}, calls: 2},
		"an unsafe method, of which something went": {method: "POST", reads: true, again: true, failed: &exchange.SendError{Sent: exchange.SentPartly, Err: io.EOF}, calls: 1},
		"503, and it is held":                       {method: "PUT", reads: true, again: true, status: 503, calls: 2},
		"503, and it is gone":                       {method: "PUT", reads: true, status: 503, calls: 1},
		"503 for an unsafe method":                  {method: "POST", again: true, status: 503, calls: 1},
	} {
		t.Run(name, func(t *testing.T) {
			calls, read := 0, ""
			f := function(site("a", func(r *http.Request) (*http.Response, error) {
				defer r.Body.Close()
				if calls++; calls > 1 {
					whole, err := io.ReadAll(r.Body)
					read = string(whole)
					return answer(200), err
				}
				if test.reads {
					_, _ = io.ReadFull(r.Body, make([]byte, 2))
				}
				if test.failed != nil {
					return nil, test.failed
				}
				return answer(test.status), nil
			}))
			content := &body{Reader: strings.NewReader("content")}
			r := request(t.Context(), test.method, content)
			if test.again {
				r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader([]byte("content"))), nil }
			}
			res, err := f.Pass(r, "/x")
			if calls != test.calls || calls == 2 && (err != nil || read != "content") {
				t.Errorf("%d calls, the second one read %q: %v", calls, read, err)
			}
			if err == nil {
				_ = res.Body.Close()
			}
			if n := content.closed.Load(); n != 1 {
				t.Errorf("the client's body was closed %d times", n)
			}
			if s := f.Status(); s.Calls.Busy != 0 {
				t.Errorf("it is %+v", s)
			}
		})
	}
}

// Retry-After is waited for where that is short, once, and within a budget.
func TestThrottlesAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		f := function(site("a", func(*http.Request) (*http.Response, error) {
			calls++
			return answer(429, exchange.Field{Name: "Retry-After", Value: "1"}), nil
		}))
		begin := time.Now()
		res, err := f.Pass(request(t.Context(), "GET", nil), "/x")
		if err != nil || res.StatusCode != 429 || calls != 3 || time.Since(begin) != 2*time.Second {
			t.Errorf("got %v, %v after %d calls and %v", res, err, calls, time.Since(begin))
		}
		_ = res.Body.Close()
		for range 20 {
			res, err := f.Pass(request(t.Context(), "GET", nil), "/x")
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
		}
		if calls != 3+20+8 { // ten retries in all, of which two were made
			t.Errorf("%d calls", calls)
		}
	})
}

func TestRetryAfterIsRead(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, "-1": 0, "x": 0, "99999999": time.Hour, "Mon, 02 Jan 2006 15:04:05 GMT": 0} {
		if got := web.After(answer(503, exchange.Field{Name: "Retry-After", Value: text})); got != want {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestARefusedProofIsReplacedOnce(t *testing.T) {
	proofs, calls := 0, 0
	s := site("a", func(*http.Request) (*http.Response, error) { calls++; return answer(401), nil })
	s.Prove = func(context.Context, exchange.Head) (web.Proof, error) {
		proofs++
		return web.Proof{Ours: true, Refused: func(context.Context) bool { return true }}, nil
	}
	f := web.New(web.Options{Name: "f", Sites: []*web.Site{s}, Judge: func(*http.Response, web.Proof) web.Verdict {
		return web.Verdict{Refused: fault.FunctionRefused.New(""), Renew: true}
	}}, web.Bounds{Timeout: time.Minute, Pool: cloud.PoolBounds{Max: 1}})
	if _, err := f.Pass(request(t.Context(), "POST", nil), "/x"); fault.From(err).Code != fault.FunctionRefused.Code || proofs != 2 || calls != 2 {
		t.Errorf("got %v after %d calls with %d proofs", err, calls, proofs)
	}
}

// What waits, for a place, a proof or an answer, ends with the time or with the client.
func TestWhatTakesTooLong(t *testing.T) {
	waits := func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
	for name, test := range map[string]struct {
		prove func(context.Context, exchange.Head) (web.Proof, error)
		send  sent
	}{
		"the answer": {nil, func(r *http.Request) (*http.Response, error) { return nil, waits(r.Context()) }},
		"the proof": {func(ctx context.Context, _ exchange.Head) (web.Proof, error) { return web.Proof{}, waits(ctx) },
			func(*http.Request) (*http.Response, error) { return answer(200), nil }},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := site("a", test.send)
			s.Prove = test.prove
			f := function(s)
			if _, err := f.Pass(request(t.Context(), "GET", nil), "/x"); fault.From(err).Code != fault.FunctionTimeout.Code {
				t.Errorf("%s: got %v", name, err)
			}
			left := errors.New("left")
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(left)
			if _, err := f.Pass(request(ctx, "GET", nil), "/x"); !errors.Is(err, left) {
				t.Errorf("%s: a client that has left gets %v", name, err)
			}
			if st := f.Status(); st.Calls.Busy != 0 {
				t.Errorf("%s: it is %+v", name, st)
			}
		})
	}
}

func TestAnIllRegionRestsAndIsTriedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down, asked := true, ""
		f := function(
			site("a", func(*http.Request) (*http.Response, error) {
				if asked += "a"; down {
					return nil, refused
				}
				return answer(200), nil
			}),
			site("b", func(*http.Request) (*http.Response, error) { asked += "b"; return answer(200), nil }),
		)
		pass := func() {
			res, err := f.Pass(request(t.Context(), "POST", nil), "/x")
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
		}
		pass()
		pass()
		time.Sleep(1100 * time.Millisecond) //nolint:forbidigo // synctest's time
		pass()
		down = false
		time.Sleep(3 * time.Second) //nolint:forbidigo // synctest's time
		pass()
		pass()
		if asked != "ab"+"b"+"ab"+"a"+"a" {
			t.Errorf("asked were %s", asked)
		}
	})
}

// mostAllocations is what passing a request on costs beside the transport: the attempt's
// request with its head and URL, context, timer, and what is given back at the end.
const mostAllocations = 14

func TestAPassCostsFewAllocations(t *testing.T) {
	f := function(site("a", func(*http.Request) (*http.Response, error) { return answer(200), nil }))
	own := testing.AllocsPerRun(100, func() { _ = answer(200) })
	r := request(t.Context(), "GET", nil)
	x := exchange.Of(r)
	got := testing.AllocsPerRun(100, func() {
		x.Attempts = x.Attempts[:0]
		res, err := f.Pass(r, "/x")
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}) - own
	if got > mostAllocations {
		t.Errorf("%v allocations", got)
	}
	t.Logf("%v allocations", got)
}
