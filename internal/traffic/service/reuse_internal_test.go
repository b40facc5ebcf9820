package service

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/poison"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

// empty is the body of an answer. Its client reports its end and its release, as wire/http1's client does.
type empty struct {
	ending exchange.Returning
	ended  bool
}

func (b *empty) OnEnd(e exchange.Ending) { b.ending, _ = e.(exchange.Returning) }

func (b *empty) Read([]byte) (int, error) { return 0, b.end(io.EOF) }
func (b *empty) Close() error             { _ = b.end(nil); return nil }

func (b *empty) end(how error) error {
	if !b.ended {
		b.ended = true
		b.ending.Ended(how)
	}
	return io.EOF
}

func (b *empty) Release() bool {
	b.ending.Released()
	return true
}

// roadOf is a transport made of a function.
type roadOf func(*http.Request) (*http.Response, error)

func (r roadOf) RoundTrip(req *http.Request) (*http.Response, error) { return r(req) }

// reuser makes a service whose attempts may be reused, and calls sent with each request that the service sends.
func reuser(tb testing.TB, sent func(*http.Request)) *Service {
	tb.Helper()
	s := New(Options{
		Name: "users", Timeouts: config.Timeouts{Head: time.Minute}, Retry: config.Retry{Attempts: 1, Statuses: []int{503}},
		Selection: Selection{Outlier: *config.DefaultOutlier()}, Log: slog.New(slog.DiscardHandler),
		Transport: roadOf(func(req *http.Request) (*http.Response, error) {
			sent(req)
			return &http.Response{StatusCode: http.StatusOK, Body: new(empty), Request: req}, nil
		}),
	})
	tb.Cleanup(s.Close)
	s.Set([]discovery.Endpoint{{Address: "a:1", Weight: 1}})
	return s
}

// asking sends req to s and ends the answer; released says whether nothing holds the answer any more.
func asking(tb testing.TB, s *Service, req *http.Request, released bool) *attempt {
	tb.Helper()
	res, err := s.RoundTrip(req)
	if err != nil {
		tb.Fatal(err)
	}
	b, _ := res.Body.(*empty)
	a, _ := b.ending.(*attempt)
	if _, err := b.Read(nil); err != io.EOF { //nolint:errorlint // it is given bare
		tb.Fatal(err)
	}
	if released {
		exchange.Release(res)
	}
	return a
}

func plainRequest(tb testing.TB) *http.Request {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, "http://weir/", http.NoBody)
	if err != nil {
		tb.Fatal(err)
	}
	return req
}

// laden is a request with every field set that can be.
func laden(tb testing.TB) *http.Request {
	tb.Helper()
	req := plainRequest(tb)
	req.Method, req.Host, req.RemoteAddr, req.RequestURI, req.Pattern = "PUT", "weir", "192.0.2.1:1", "/x", "/{x}"
	req.Proto, req.ProtoMajor, req.ProtoMinor = "HTTP/1.0", 1, 0
	req.URL = &url.URL{Scheme: "http", Opaque: "o", User: url.User("u"), Host: "weir", Path: "/ x", RawPath: "/%20x", RawQuery: "q", Fragment: "f", ForceQuery: true}
	req.Header, req.Trailer = http.Header{"X-Before": {"1"}}, http.Header{"X-Before": {"2"}}
	req.Body, req.GetBody = http.NoBody, func() (io.ReadCloser, error) { return http.NoBody, nil }
	req.ContentLength, req.TransferEncoding, req.Close = 7, []string{"chunked"}, true
	req.Form, req.PostForm = url.Values{"a": nil}, url.Values{"a": nil}
	return req
}

// again sends requests until an attempt is reused, and returns what was sent with it.
func again(t *testing.T, first, second func() *http.Request) (sent http.Request, used *attempt) {
	t.Helper()
	var got *http.Request
	s := reuser(t, func(req *http.Request) { got = req })
	const tries = 1000 // under the race detector, pools drop some things
	for range tries {
		one := asking(t, s, first(), true)
		two := asking(t, s, second(), false)
		if one == two {
			return *got, two
		}
	}
	t.Fatal("no attempt was used again")
	return http.Request{}, nil
}

// Nothing of the previous request is left in a reused attempt, nor in what it sends.
func TestAnAttemptThatIsUsedAgainShowsNothingOfTheOneBefore(t *testing.T) {
	if poison.On {
		t.Skip("none is used again")
	}
	var fresh *http.Request
	asking(t, reuser(t, func(req *http.Request) { fresh = req }), plainRequest(t), false)
	sent, a := again(t, func() *http.Request { return laden(t) }, func() *http.Request { return plainRequest(t) })
	got, want := reflect.ValueOf(sent), reflect.ValueOf(*fresh)
	for i := range got.NumField() {
		switch field := got.Type().Field(i); {
		case !field.IsExported() || field.Name == "GetBody":
		case !reflect.DeepEqual(got.Field(i).Interface(), want.Field(i).Interface()):
			t.Errorf("%s is %v, not %v", field.Name, got.Field(i), want.Field(i))
		}
	}
	if sent.GetBody != nil {
		t.Error("GetBody is that of the request before")
	}
	if !errors.Is(sent.Context().Err(), context.Canceled) || sent.Context() != context.Context(&a.bound) {
		t.Errorf("its context is %v", sent.Context())
	}
}

// What is kept for the next request refers to nothing that belongs to others: no service that has ended, no content,
// no text of a head.
func TestAnAttemptThatWaitsForItsNextUseHoldsNothing(t *testing.T) {
	if poison.On {
		t.Skip("it is scrambled")
	}
	s := reuser(t, func(*http.Request) {})
	a := asking(t, s, laden(t), false)
	a.told, a.proves, a.counted, a.trial = true, true, true, 7
	a.Released()
	if a.service != nil || a.state != nil || a.out != nil || a.body != nil || a.call != nil || a.lasting != nil || a.settled.Load() ||
		a.told || a.proves || a.counted || a.trial != noTrial || a.head != (finding{}) || a.own.url != (url.URL{}) {
		t.Errorf("%+v", a)
	}
	held := []string{"Proto", "ProtoMajor", "ProtoMinor", "ContentLength", "Close", "URL"} // numbers, and what belongs to the attempt
	for v, i := reflect.ValueOf(&a.own.out).Elem(), 0; i < v.NumField(); i++ {
		if field := v.Type().Field(i); field.IsExported() && !slices.Contains(held, field.Name) && !v.Field(i).IsZero() {
			t.Errorf("%s is %v", field.Name, v.Field(i))
		}
	}
	if a.bound.Err() == nil || a.bound.Value("key") != nil || context.Cause(&a.bound) == nil {
		t.Error("its context has not ended")
	}
}

// The code that sends a request sets these fields, or net/http gives them a meaning for servers only. If a later
// version of Go adds a field, it has to be copied or named here.
func TestAllThatClientsSendOfARequestIsCarried(t *testing.T) {
	forServers := []string{"Form", "PostForm", "MultipartForm", "RemoteAddr", "RequestURI", "TLS", "Cancel", "Response", "Pattern"}
	var out http.Request
	exchange.Carry(&out, laden(t))
	v := reflect.ValueOf(out)
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() || field.Name == "URL" || field.Name == "ProtoMinor" {
			continue
		}
		if carried := !v.Field(i).IsZero(); carried == slices.Contains(forServers, field.Name) {
			t.Errorf("%s: carried %t", field.Name, carried)
		}
	}
}

// An attempt that something may still hold is left to the garbage collector.
func TestAnAttemptIsNotUsedAgainThatSomebodyMayHave(t *testing.T) {
	held := func(do func(a *attempt)) *attempt {
		s := reuser(t, func(*http.Request) {})
		a := asking(t, s, plainRequest(t), false)
		do(a)
		a.Released()
		return a
	}
	for name, a := range map[string]*attempt{
		"it has not ended":                 held(func(a *attempt) { a.phase.Store(answered) }),
		"its content may be read yet":      held(func(a *attempt) { a.body = newReplay(http.NoBody, 0, false) }),
		"a timer may fire that it has":     held(func(a *attempt) { a.lasting = time.NewTimer(time.Hour) }),
		"somebody waits for its end":       held(func(a *attempt) { a.bound.Context.Done() }),
		"it has no context of its own":     held(func(a *attempt) { a.limit = 0 }),
		"a timer may fire of its time-out": held(func(a *attempt) { a.bound.timer.Store(time.NewTimer(time.Hour)) }),
		"it was released by somebody else": held(func(a *attempt) { a.Released() }),
	} {
		if poison.On {
			continue
		}
		if kept := a.service != nil; kept == (name == "it was released by somebody else") {
			t.Errorf("%s: it is kept %t", name, kept)
		}
	}
}

// The poisoned build overwrites memory that others may have kept.
func TestWhatAnAttemptHasSentIsPoisoned(t *testing.T) {
	var sent *http.Request
	var to *url.URL
	s := reuser(t, func(req *http.Request) { sent, to = req, req.URL })
	asking(t, s, plainRequest(t), true)
	if poison.On && (sent.Method == http.MethodGet || to.Host == "a:1" || sent.Context().Err() == nil) {
		t.Errorf("%s %s", sent.Method, to)
	}
}

// lentBy returns a request as the proxy lends it, which only the service holds, and its context.
func lentBy(tb testing.TB, req *http.Request) (*http.Request, *exchange.OutContext) {
	tb.Helper()
	x := new(exchange.Exchange)
	x.Alone()
	ctx := new(exchange.OutContext)
	ctx.Under(exchange.Context(tb.Context(), x))
	req = req.WithContext(ctx)
	ctx.Entrust(req, x)
	return req, ctx
}

// The first attempt sends the very request that was lent to the service. Until it is released, that request has the
// attempt's context. After that it has its own again.
func TestTheFirstAttemptSendsTheRequestThatWasLent(t *testing.T) {
	var sent *http.Request
	s := reuser(t, func(req *http.Request) { sent = req })
	for range 10 {
		req, ctx := lentBy(t, plainRequest(t))
		a := asking(t, s, req, false)
		if sent != req || req.URL.Host != "a:1" || exchange.From(req.Context()) == nil {
			t.Fatalf("%p was sent to %q for %p", sent, req.URL.Host, req)
		}
		if req.Context().Err() == nil || ctx.Context.Err() != nil {
			t.Errorf("its context: %v, that of its maker: %v", req.Context().Err(), ctx.Context.Err())
		}
		a.Released()
		if req.Context().Err() != nil || req.Method != http.MethodGet {
			t.Errorf("its context goes on with %v, it is a %s", req.Context().Err(), req.Method)
		}
		if ctx.Cancel(nil); !ctx.Leave() {
			t.Error("its maker cannot use it again")
		}
	}
}

// A limit that is switched off may be negative.
func TestAnAttemptWithoutALimitDoesNotEnd(t *testing.T) {
	for _, limit := range []time.Duration{0, -1} {
		a := newAttempt(t.Context(), limit)
		a.service = reuser(t, func(*http.Request) {})
		a.sentAtOnce()
		if err := a.ownRequest(t.Context(), plainRequest(t)).Context().Err(); err != nil || a.limit != 0 {
			t.Errorf("limited to %d: %v after %v", limit, err, a.limit)
		}
	}
}

// A request that must differ for each attempt is sent as a copy, and the original stays as it was.
func TestARequestIsCopiedThatCannotBeSentItself(t *testing.T) {
	for name, c := range map[string]struct {
		with    func(*http.Request)
		cookie  *Cookie
		unbound bool
	}{
		"without a host, of which the endpoint's would be made": {with: func(req *http.Request) { req.Host = "" }},
		"with content that comes":                               {with: func(req *http.Request) { req.Body = io.NopCloser(strings.NewReader("x")) }},
		"with a cookie to hide":                                 {cookie: &Cookie{Name: "c"}},
		"without a limit":                                       {unbound: true},
	} {
		var sent *http.Request
		s := reuser(t, func(req *http.Request) { sent = req })
		if c.cookie != nil {
			b := *s.balance.Load()
			b.Cookie = c.cookie
			s.balance.Store(&b)
		}
		if c.unbound {
			s.own.head = 0
		}
		req := plainRequest(t)
		if c.with != nil {
			c.with(req)
		}
		req, ctx := lentBy(t, req)
		asking(t, s, req, false)
		if sent == req || sent.URL == req.URL || sent.URL.Host != "a:1" || req.URL.Host != "weir" {
			t.Errorf("%s: %p was sent to %q for %p", name, sent, sent.URL.Host, req)
		}
		if ctx.Err() != nil {
			t.Errorf("%s: its context has ended: %v", name, ctx.Err())
		}
	}
}

// Nothing has confirmed that the holder of the first attempt has given it up. The attempt has ended for that holder,
// but its memory, and that of the request, must not be reused.
func TestALentRequestThatIsTriedAgainIsNotUsedAgain(t *testing.T) {
	var sent []*http.Request
	s := reuser(t, func(req *http.Request) { sent = append(sent, req) })
	answers := s.transport
	s.transport = roadOf(func(req *http.Request) (*http.Response, error) {
		res, err := answers.RoundTrip(req)
		if len(sent) == 1 {
			return nil, &exchange.SendError{Endpoint: "a:1", Err: io.ErrUnexpectedEOF}
		}
		return res, err
	})
	s.Set([]discovery.Endpoint{{Address: "a:1", Weight: 1}, {Address: "b:1", Weight: 1}}) // so that the second attempt need not wait
	req, ctx := lentBy(t, plainRequest(t))
	asking(t, s, req, true)
	if len(sent) != 2 || sent[0] != req || sent[1] == req || sent[1].URL == req.URL {
		t.Fatalf("%v were sent", sent)
	}
	if sent[0].Context().Err() == nil || ctx.Context.Err() != nil {
		t.Errorf("the first one: %v, its maker's: %v", sent[0].Context().Err(), ctx.Context.Err())
	}
	if ctx.Cancel(nil); ctx.Leave() {
		t.Error("its context is used again")
	}
}

// A late event of an attempt, such as its release, does not count against the attempt that reuses its memory.
func TestEachAttemptIsCountedOutOnce(t *testing.T) {
	s := reuser(t, func(*http.Request) {})
	for range 100 {
		a := asking(t, s, plainRequest(t), true)
		a.Released()
	}
	if n := s.pool.InFlight(); n != 0 {
		t.Errorf("%d are under way", n)
	}
	all, bad := s.set.Load().endpoints[0].state.outcomes.tally.Sums(s.pool.Now(), config.DefaultOutlier().Window)
	if all != 100 || bad != 0 {
		t.Errorf("%d of %d have failed", bad, all)
	}
}

// come is the body of an answer that has arrived with its head.
type come struct{ empty }

func (*come) Whole() bool { return true }

// An answer that has arrived whole is judged with its head, because its end can reveal nothing more. Any other answer
// is judged at its end. Each is judged once, and counts as under way until its end.
func TestAnAnswerThatHasComeIsJudgedWithItsHead(t *testing.T) {
	for comes, body := range map[bool]io.ReadCloser{true: new(come), false: new(empty)} {
		s := reuser(t, nil)
		s.transport = roadOf(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, Body: body}, nil
		})
		judged := func() (all int64) {
			all, _ = s.set.Load().endpoints[0].state.outcomes.tally.Sums(s.pool.Now(), config.DefaultOutlier().Window)
			return all
		}
		res, err := s.RoundTrip(plainRequest(t))
		if err != nil {
			t.Fatal(err)
		}
		if n := judged(); n != one(comes) || s.pool.InFlight() != 1 {
			t.Errorf("it has come: %t; %d were judged with the head, %d are under way", comes, n, s.pool.InFlight())
		}
		_ = res.Body.Close()
		if n := judged(); n != 1 || s.pool.InFlight() != 0 {
			t.Errorf("it has come: %t; %d were judged in the end, %d are under way", comes, n, s.pool.InFlight())
		}
	}
}

// A request through a service allocates nothing if its answer is released.
func TestAReleasedRequestNeedsNoMemory(t *testing.T) {
	s, body := reuser(t, nil), new(empty)
	res := &http.Response{StatusCode: http.StatusOK, ProtoMajor: 1, Body: body}
	s.transport = roadOf(func(*http.Request) (*http.Response, error) { body.ended = false; return res, nil })
	x := &exchange.Exchange{}
	req := exchange.With(plainRequest(t), x)
	if n := testing.AllocsPerRun(1000, func() {
		x.Attempts = nil
		res, err := s.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		exchange.Release(res)
	}); n > 0 && exact {
		t.Errorf("%v allocations", n)
	}
}
