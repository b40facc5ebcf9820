package coalesce_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/filter/coalesce"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend answers when it is told to, and counts.
type backend struct {
	calls   atomic.Int64
	ended   atomic.Int64  // contexts of calls that ended before the answer
	proceed chan struct{} // closed, or nil for at once
	respond func(r *http.Request, n int64) (*http.Response, error)
}

func (b *backend) RoundTrip(r *http.Request) (*http.Response, error) {
	n := b.calls.Add(1)
	exchange.Of(r).Backend = "fake"
	exchange.Of(r).Tried(exchange.Attempt{Endpoint: fmt.Sprint("call ", n)})
	exchange.RequestHead(r).Set("X-Changed", "by what is within")
	if b.proceed != nil {
		select {
		case <-b.proceed:
		case <-r.Context().Done():
			b.ended.Add(1)
			return nil, context.Cause(r.Context())
		}
	}
	if b.respond != nil {
		return b.respond(r, n)
	}
	return text(r, fmt.Sprint("answer ", n)), nil
}

// text is a response with a body.
func text(r *http.Request, body string, fields ...exchange.Field) *http.Response {
	res := exchange.NewResponse(r, http.StatusOK, fields...)
	res.Body, res.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	return res
}

// adapt builds the filter around b.
func adapt(t testing.TB, b http.RoundTripper, change func(*coalesce.Config)) http.RoundTripper {
	t.Helper()
	d := coalesce.Definition()
	c, ok := d.New().(*coalesce.Config)
	if !ok {
		t.Fatal("another config")
	}
	if change != nil {
		change(c)
	}
	p, err := d.Build(filter.Env{Log: slog.New(slog.DiscardHandler)}, c)
	if err != nil {
		t.Fatal(err)
	}
	return p.Adapt(b)
}

// request is one of a client.
func request(ctx context.Context, method, target string, fields ...string) *http.Request {
	r, err := http.NewRequestWithContext(ctx, method, "http://shop.dev"+target, http.NoBody)
	if err != nil {
		panic(err)
	}
	for i := 0; i < len(fields); i += 2 {
		exchange.RequestHead(r).Add(fields[i], fields[i+1])
	}
	return exchange.With(r, &exchange.Exchange{Client: exchange.Client{Scheme: "http", Host: "shop.dev"}})
}

// as makes somebody call.
func as(r *http.Request, subject string) *http.Request {
	exchange.Of(r).Identity = &exchange.Identity{Method: "jwt", Issuer: "id", Subject: subject}
	return r
}

// outcome is what a client got.
type outcome struct {
	body string
	err  error
}

// ask sends all requests at once, lets the backend answer once all wait, and gives what
// each got. It runs in a bubble of synctest.
func ask(b *backend, road http.RoundTripper, requests ...*http.Request) []outcome {
	got := make([]outcome, len(requests))
	var all sync.WaitGroup
	for i, r := range requests {
		all.Go(func() { got[i] = read(road.RoundTrip(r)) })
		synctest.Wait() // so that the first one is the one who asks
	}
	if b.proceed != nil {
		close(b.proceed)
	}
	all.Wait()
	return got
}

func read(res *http.Response, err error) outcome {
	if err != nil {
		return outcome{err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return outcome{string(body), err}
}

func gated() *backend { return &backend{proceed: make(chan struct{})} }

func get(fields ...string) *http.Request {
	return request(context.Background(), "GET", "/a?x=1", fields...)
}

func TestIdenticalRequestsAreAnsweredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := gated()
		road := adapt(t, b, nil)
		requests := []*http.Request{get(), get(), get(), get()}
		for i, got := range ask(b, road, requests...) {
			if got.body != "answer 1" || got.err != nil {
				t.Errorf("client %d got %+v", i, got)
			}
			x := exchange.Of(requests[i])
			if x.Backend != "fake" || (len(x.Attempts) == 1) != (i == 0) {
				t.Errorf("client %d: backend %q, attempts %v", i, x.Backend, x.Attempts)
			}
		}
		if b.calls.Load() != 1 {
			t.Errorf("%d calls", b.calls.Load())
		}
		b.proceed = nil
		if got := ask(b, road, get()); got[0].body != "answer 2" {
			t.Errorf("a later request got %+v: nothing is kept", got)
		}
	})
}

func TestWhichRequestsAreIdentical(t *testing.T) {
	bg := context.Background()
	vary := func(c *coalesce.Config) { c.Vary = []string{"X-Tenant"} }
	shared := func(c *coalesce.Config) { c.Shared = true }
	for name, c := range map[string]struct {
		one, other *http.Request
		change     func(*coalesce.Config)
		calls      int64
	}{
		"the same":                     {get("Accept", "a"), get("Accept", "a"), nil, 1},
		"fields that nobody named":     {get("User-Agent", "a", "X-Tenant", "1"), get("User-Agent", "b", "X-Tenant", "2"), nil, 1},
		"HEAD":                         {request(bg, "HEAD", "/a"), request(bg, "HEAD", "/a"), nil, 1},
		"HEAD and GET":                 {request(bg, "HEAD", "/a"), request(bg, "GET", "/a"), nil, 2},
		"POST":                         {request(bg, "POST", "/a"), request(bg, "POST", "/a"), nil, 2},
		"an upgrade":                   {get("Upgrade", "websocket"), get("Upgrade", "websocket"), nil, 2},
		"another path":                 {get(), request(bg, "GET", "/b?x=1"), nil, 2},
		"another query":                {get(), request(bg, "GET", "/a?x=2"), nil, 2},
		"encoded otherwise":            {request(bg, "GET", "/a%2Fb"), request(bg, "GET", "/a/b"), nil, 2},
		"what is accepted":             {get("Accept", "a"), get("Accept", "b"), nil, 2},
		"a range":                      {get("Range", "bytes=0-1"), get(), nil, 2},
		"a condition":                  {get("If-None-Match", `"1"`), get("If-None-Match", `"2"`), nil, 2},
		"a cookie":                     {get("Cookie", "a=1"), get("Cookie", "a=2"), nil, 2},
		"a token":                      {get("Authorization", "Bearer a"), get(), nil, 2},
		"another caller":               {as(get(), "ada"), as(get(), "bob"), nil, 2},
		"somebody and nobody":          {as(get(), "ada"), get(), nil, 2},
		"the same caller":              {as(get(), "ada"), as(get(), "ada"), nil, 1},
		"a named field":                {get("X-Tenant", "1"), get("X-Tenant", "2"), vary, 2},
		"values that could be one":     {get("X-Tenant", "1", "X-Tenant", "2"), get("X-Tenant", "1, 2"), vary, 2},
		"callers that make none":       {as(get("Cookie", "a=1"), "ada"), as(get("Authorization", "b"), "bob"), shared, 1},
		"callers that make none, HEAD": {as(request(bg, "HEAD", "/a"), "ada"), request(bg, "HEAD", "/a"), shared, 1},
		"too much to tell apart":       {get("Cookie", strings.Repeat("a", 20000)), get("Cookie", strings.Repeat("a", 20000)), nil, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := gated()
				ask(b, adapt(t, b, c.change), c.one, c.other)
				if got := b.calls.Load(); got != c.calls {
					t.Errorf("%d calls, not %d", got, c.calls)
				}
			})
		})
	}
}

func TestWhichResponsesAreShared(t *testing.T) {
	field := func(name, value string) []exchange.Field { return []exchange.Field{{Name: name, Value: value}} }
	for name, c := range map[string]struct {
		fields     []exchange.Field
		body       string
		one, other *http.Request
		calls      int64
	}{
		"plain":                                {nil, "a", get(), get(), 1},
		"a cookie is for one":                  {field("Set-Cookie", "a=1"), "a", get(), get(), 2},
		"private, of nobody known":             {field("Cache-Control", "max-age=1, Private"), "a", get(), get(), 2},
		"private, of one caller":               {field("Cache-Control", "private"), "a", as(get(), "ada"), as(get(), "ada"), 1},
		"no-store, of one cookie":              {field("Cache-Control", "no-store"), "a", get("Cookie", "s=1"), get("Cookie", "s=1"), 1},
		"private names a field":                {field("Cache-Control", `private="x"`), "a", get(), get(), 2},
		"varies by what is the same":           {field("Vary", "Accept, X-Tenant"), "a", get("X-Tenant", "1"), get("X-Tenant", "1"), 1},
		"varies by what is another":            {field("Vary", "X-Tenant"), "a", get("X-Tenant", "1"), get("X-Tenant", "2"), 2},
		"varies by what was changed within":    {field("Vary", "X-Changed"), "a", get(), get(), 1},
		"varies by what nobody can tell":       {field("Vary", "*"), "a", get(), get(), 2},
		"events":                               {field("Content-Type", "text/event-stream; charset=utf-8"), "a", get(), get(), 2},
		"as large as may be":                   {nil, strings.Repeat("a", 100), get(), get(), 1},
		"too large":                            {nil, strings.Repeat("a", 101), get(), get(), 2},
		"private and another caller of shared": {field("Cache-Control", "private"), "a", as(get(), "ada"), as(get(), "bob"), 2},
	} {
		for _, length := range []string{"known", "unknown"} {
			t.Run(name+", of "+length+" length", func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := gated()
					b.respond = func(r *http.Request, _ int64) (*http.Response, error) {
						res := text(r, c.body, c.fields...)
						if length == "unknown" {
							res.ContentLength = -1
						}
						return res, nil
					}
					road := adapt(t, b, func(cfg *coalesce.Config) { cfg.Body, cfg.Shared = 100, strings.HasSuffix(name, "of shared") })
					for i, got := range ask(b, road, c.one, c.other) {
						if got.body != c.body || got.err != nil {
							t.Errorf("client %d got %d bytes, %v", i, len(got.body), got.err)
						}
					}
					if got := b.calls.Load(); got != c.calls {
						t.Errorf("%d calls, not %d", got, c.calls)
					}
				})
			})
		}
	}
}

func TestTheHeadsOfSharedResponsesAreTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := gated()
		b.respond = func(r *http.Request, _ int64) (*http.Response, error) {
			return text(r, "a", exchange.Field{Name: "X-One", Value: "1"}), nil
		}
		road := adapt(t, b, nil)
		heads := make(chan exchange.Head, 2)
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() {
				res, err := road.RoundTrip(get())
				if err != nil {
					t.Error(err)
					return
				}
				head := exchange.ResponseHead(res)
				head.Add("X-One", "2")
				heads <- head
				_ = res.Body.Close()
			})
		}
		synctest.Wait()
		close(b.proceed)
		all.Wait()
		for range 2 {
			if got := (<-heads).Values("X-One"); len(got) != 2 {
				t.Errorf("the head has %q", got)
			}
		}
	})
}

func TestOneWhoLeavesFailsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := gated()
		road := adapt(t, b, nil)
		ctx, leave := context.WithCancel(t.Context())
		first := make(chan outcome, 1)
		go func() { first <- read(road.RoundTrip(request(ctx, "GET", "/a?x=1"))) }()
		synctest.Wait()
		second := make(chan outcome, 1)
		go func() { second <- read(road.RoundTrip(get())) }()
		synctest.Wait()
		leave()
		if got := <-first; !errors.Is(got.err, context.Canceled) {
			t.Errorf("who has left got %+v", got)
		}
		synctest.Wait()
		close(b.proceed)
		if got := <-second; got.body != "answer 1" || b.calls.Load() != 1 {
			t.Errorf("who has stayed got %+v in %d calls", got, b.calls.Load())
		}
	})
}

func TestACallThatNobodyWantsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := gated()
		road := adapt(t, b, nil)
		ctx, leave := context.WithCancel(t.Context())
		for range 3 {
			go func() { _ = read(road.RoundTrip(request(ctx, "GET", "/a?x=1"))) }()
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		if b.calls.Load() != 1 || b.ended.Load() != 1 {
			t.Errorf("of %d calls %d have ended", b.calls.Load(), b.ended.Load())
		}
		close(b.proceed)
		if got := read(road.RoundTrip(get())); got.body != "answer 2" {
			t.Errorf("the next one got %+v", got)
		}
	})
}

func TestAFailureIsNotMultiplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := gated()
		b.respond = func(*http.Request, int64) (*http.Response, error) { return nil, fault.BackendReset.New("") }
		for i, got := range ask(b, adapt(t, b, nil), get(), get(), get()) {
			if fault.From(got.err).Code != fault.BackendReset.Code {
				t.Errorf("client %d got %+v", i, got)
			}
		}
		if b.calls.Load() != 1 {
			t.Errorf("%d calls", b.calls.Load())
		}
	})
}

func TestAPanicIsAnErrorOfItsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := gated()
		b.respond = func(*http.Request, int64) (*http.Response, error) { panic("a bug") }
		for i, got := range ask(b, adapt(t, b, nil), get(), get()) {
			if fault.From(got.err).Code != fault.Unexpected.Code {
				t.Errorf("client %d got %+v", i, got)
			}
		}
	})
}

// broken is a body with a bug.
type broken struct{}

func (broken) Read([]byte) (int, error) { panic("a bug") }

func (broken) Close() error { return nil }

func TestAPanicInABodyIsAnErrorOfItsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := gated()
		b.respond = func(r *http.Request, _ int64) (*http.Response, error) {
			res := text(r, "")
			res.Body, res.ContentLength = broken{}, -1
			return res, nil
		}
		for i, got := range ask(b, adapt(t, b, nil), get(), get()) {
			if got.err == nil || got.body != "" {
				t.Errorf("client %d got %+v", i, got)
			}
		}
	})
}

// slow is a body that comes in pieces, which a test writes.
func slow(b *backend) *io.PipeWriter {
	reader, writer := io.Pipe()
	b.respond = func(r *http.Request, n int64) (*http.Response, error) {
		if n > 1 {
			return text(r, fmt.Sprint("answer ", n)), nil
		}
		res := exchange.NewResponse(r, http.StatusOK)
		res.Body, res.ContentLength = reader, -1
		return res, nil
	}
	return writer
}

// TestTheOneWhoAsksGetsTheBodyAsItComes holds that others wait for the whole of it.
func TestTheOneWhoAsksGetsTheBodyAsItComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := gated()
		writer := slow(b)
		road := adapt(t, b, nil)
		pieces, other := make(chan string), make(chan outcome, 1)
		go func() {
			defer close(pieces)
			res, err := road.RoundTrip(get())
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			for piece := make([]byte, 100); ; {
				n, err := res.Body.Read(piece)
				if n > 0 {
					pieces <- string(piece[:n])
				}
				if err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		go func() { other <- read(road.RoundTrip(get())) }()
		synctest.Wait()
		close(b.proceed)
		for _, piece := range []string{"one ", "two"} {
			_, _ = io.WriteString(writer, piece)
			if got := <-pieces; got != piece {
				t.Errorf("got %q, not %q", got, piece)
			}
		}
		_ = writer.Close()
		if got := <-other; got.body != "one two" || got.err != nil {
			t.Errorf("the other one got %+v", got)
		}
		if _, more := <-pieces; more {
			t.Error("there is more")
		}
	})
}

func TestABodyThatTakesLongKeepsNobodyWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := gated()
		writer := slow(b)
		road := adapt(t, b, func(c *coalesce.Config) { c.Wait = time.Second })
		first, other := make(chan outcome, 1), make(chan outcome, 1)
		go func() { first <- read(road.RoundTrip(get())) }()
		synctest.Wait()
		begin := time.Now()
		go func() { other <- read(road.RoundTrip(get())) }()
		synctest.Wait()
		close(b.proceed)
		if got := <-other; got.body != "answer 2" || time.Since(begin) != time.Second {
			t.Errorf("got %+v after %v", got, time.Since(begin))
		}
		_, _ = io.WriteString(writer, "done")
		_ = writer.Close()
		if got := <-first; got.body != "done" {
			t.Errorf("the one who has asked got %+v", got)
		}
	})
}

func TestABodyThatBreaksOffIsNobodysWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := gated()
		writer := slow(b)
		go func() {
			_, _ = io.WriteString(writer, "half")
			_ = writer.CloseWithError(errors.New("cut"))
		}()
		got := ask(b, adapt(t, b, nil), get(), get())
		if got[0].body != "half" || got[0].err == nil {
			t.Errorf("the one who has asked got %+v", got[0])
		}
		if got[1].body != "" || fault.From(got[1].err).Code != fault.BackendReset.Code || b.calls.Load() != 1 {
			t.Errorf("the other one got %+v in %d calls", got[1], b.calls.Load())
		}
	})
}

// TestManyClients is for the race detector: some leave, some bodies are too large.
func TestManyClients(t *testing.T) {
	b := &backend{}
	b.respond = func(r *http.Request, n int64) (*http.Response, error) {
		res := text(r, strings.Repeat("a", int(n%200)+1))
		if n%2 == 0 {
			res.ContentLength = -1
		}
		return res, nil
	}
	road := adapt(t, b, func(c *coalesce.Config) { c.Body = 100 })
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for j := range 100 {
				ctx, leave := context.WithCancel(t.Context())
				if (i+j)%7 == 0 {
					leave()
				}
				got := read(road.RoundTrip(request(ctx, "GET", fmt.Sprint("/", j%3))))
				if ctx.Err() == nil && (got.err != nil || got.body == "") {
					t.Errorf("got %+v", got)
				}
				leave()
			}
		})
	}
	all.Wait()
}

func TestWhatIsNotCoalescedCostsNothing(t *testing.T) {
	r := request(t.Context(), "POST", "/a")
	b := nothing{exchange.NewResponse(r, http.StatusOK)}
	road := adapt(t, b, nil)
	if n := testing.AllocsPerRun(100, func() { _, _ = road.RoundTrip(r) }); n > 0 {
		t.Errorf("%.0f allocations", n)
	}
}

type nothing struct{ res *http.Response }

func (n nothing) RoundTrip(*http.Request) (*http.Response, error) { return n.res, nil }
