package exchange_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/cancel"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/field"
)

// serve runs one handler under an exchange, as the gateway does.
func serve(t *testing.T, handle func(*exchange.Writer, *http.Request, *exchange.Exchange)) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange.Exchange{ID: "id-1", Start: time.Now()}
		ew, r := exchange.Begin(w, r, x)
		handle(ew, r, x)
		ew.Finish(nil)
	}))
	t.Cleanup(s.Close)
	return s
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestHeadOperationsRunOnceInOrderAndForErrorsToo(t *testing.T) {
	for name, answer := range map[string]func(*exchange.Writer){
		"written": func(w *exchange.Writer) { w.WriteHeader(201); w.WriteHeader(500) },
		"implied": func(w *exchange.Writer) { _, _ = w.Write([]byte("x")) },
		"failed":  func(w *exchange.Writer) { w.Fail(fault.NoEndpoint.New("")) },
		"nothing": func(*exchange.Writer) {},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w *exchange.Writer, _ *http.Request, x *exchange.Exchange) {
				x.OnHead(func(_ int, h exchange.Head) { h.Add("X-Op", "first") })
				x.OnHead(func(status int, h exchange.Head) { h.Add("X-Op", fmt.Sprint(status)) })
				answer(w)
			})
			res, _ := get(t, s.URL)
			want := []string{"first", fmt.Sprint(res.StatusCode)}
			if got := res.Header.Values("X-Op"); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestDoneHooksRunInReverseWithTheOutcome(t *testing.T) {
	var order []string
	done := make(chan exchange.Outcome, 1)
	s := serve(t, func(w *exchange.Writer, _ *http.Request, x *exchange.Exchange) {
		x.OnDone(func(o exchange.Outcome) { order = append(order, "first"); done <- o })
		x.OnDone(func(exchange.Outcome) { order = append(order, "second") })
		w.WriteHeader(202)
		_, _ = io.Copy(w, strings.NewReader("hello"))
	})
	get(t, s.URL)
	if o := <-done; o.Status != 202 || o.Written != 5 || o.Err != nil {
		t.Errorf("outcome %+v", o)
	}
	if !slices.Equal(order, []string{"second", "first"}) {
		t.Errorf("order %v", order)
	}
}

func TestLateFailureAbortsTheStreamSoThatACutBodyNeverLooksWhole(t *testing.T) {
	s := serve(t, func(w *exchange.Writer, _ *http.Request, _ *exchange.Exchange) {
		_, _ = w.Write([]byte("half"))
		_ = http.NewResponseController(w).Flush()
		w.Fail(fault.BackendReset.New(""))
	})
	res, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("the cut body %q looks whole", body)
	}
}

func TestNoContentTypeIsGuessed(t *testing.T) {
	s := serve(t, func(w *exchange.Writer, _ *http.Request, _ *exchange.Exchange) { _, _ = w.Write([]byte("<html>")) })
	if res, _ := get(t, s.URL); res.Header.Get("Content-Type") != "" {
		t.Errorf("got %q", res.Header.Get("Content-Type"))
	}
}

func TestInformationalPassesAtOnceAndLeavesTheFinalHeadAlone(t *testing.T) {
	s := serve(t, func(w *exchange.Writer, _ *http.Request, x *exchange.Exchange) {
		w.Head().Set("X-Final", "1")
		early := http.Header{"Link": {"</a.css>; rel=preload"}}
		x.Informational.Inform(103, exchange.MapHead(early))
		_, _ = w.Write([]byte("done"))
		x.Informational.Inform(103, exchange.MapHead(early)) // too late: no effect
	})
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	raw, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	early, final, ok := strings.Cut(string(raw), "\r\n\r\n")
	if !ok || !strings.HasPrefix(early, "HTTP/1.1 103 ") || !strings.Contains(early, "Link: ") || strings.Contains(early, "X-Final") {
		t.Errorf("early head %q", early)
	}
	if !strings.HasPrefix(final, "HTTP/1.1 200 ") || !strings.Contains(final, "X-Final: 1") || strings.Contains(final, "Link") || !strings.HasSuffix(final, "done") {
		t.Errorf("final response %q", final)
	}
}

// A stream that is reset while a 1xx response is being written: net/http's HTTP/2
// server still reads the header map then. The race detector holds this.
func TestHintsOverHTTP2ShareNoMapWithTheServer(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := &exchange.Exchange{Start: time.Now()}
		ew, r := exchange.Begin(w, r, x)
		for i := 0; r.Context().Err() == nil; i++ {
			x.Informational.Inform(103, exchange.MapHead(http.Header{"Link": {"</a.css>"}, fmt.Sprintf("X-%d", i%50): {"1"}}))
		}
		ew.Finish(nil)
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	defer s.Close()
	client := &http.Transport{Protocols: new(http.Protocols)}
	client.Protocols.SetUnencryptedHTTP2(true)
	defer client.CloseIdleConnections()
	for range 30 {
		ctx, cancel := context.WithCancel(t.Context())
		seen := 0
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error {
			if seen++; seen == 5 {
				cancel()
			}
			return nil
		}})
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := client.RoundTrip(r); err == nil {
			_ = res.Body.Close()
		}
		cancel()
	}
}

func TestUpgradeGivesATunnelWithTheBytesThatCameEarly(t *testing.T) {
	s := serve(t, func(w *exchange.Writer, r *http.Request, x *exchange.Exchange) {
		x.OnHead(func(_ int, h exchange.Head) { h.Set("X-Op", "1") })
		tunnel, err := w.Upgrade(exchange.MapHead(http.Header{"Upgrade": {"echo"}, "Connection": {"Upgrade"}}))
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.Copy(tunnel, tunnel)
		_ = tunnel.CloseWrite()
		_ = tunnel.Close()
	})
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly ")
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("X-Op") != "1" {
		t.Fatalf("got %v, %v", res, err)
	}
	fmt.Fprintf(conn, "late")
	_ = conn.(*net.TCPConn).CloseWrite()
	if echoed, err := io.ReadAll(r); err != nil || string(echoed) != "early late" {
		t.Errorf("got %q, %v", echoed, err)
	}
}

func TestDetachedRequestOutlivesItsExchange(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("body")).WithContext(ctx)
	x := &exchange.Exchange{}
	for i := range 10 {
		x.Params.Add(fmt.Sprint(i), "v")
	}
	x.OnDone(func(exchange.Outcome) { t.Error("a hook ran twice") })
	r = exchange.With(r, x)
	d := exchange.Detach(r)
	cancel()
	x.Params.Truncate(0)
	x.Params.Add("other", "w")
	exchange.RequestHead(r).Set("X-Later", "1")
	own := exchange.Of(d)
	own.End(exchange.Outcome{})
	if d.Context().Err() != nil || own.ID == "" || own.ID != x.RequestID() || own.Params.Len() != 10 || own.Params.At(9).Name != "9" || d.Header.Get("X-Later") != "" || d.Body != http.NoBody {
		t.Errorf("detached: %v %+v %v", d.Context().Err(), own, d.Header)
	}
}

func TestBranchesHaveTheirOwnAttemptsUntilTheyAreJoined(t *testing.T) {
	x := &exchange.Exchange{ID: "id-1", Informational: exchange.InformerFunc(func(int, exchange.Head) { t.Error("a branch passed a hint on") })}
	x.OnDone(func(exchange.Outcome) { t.Error("a hook ran early") })
	x.Params.Add("user", "7")
	x.Tried(exchange.Attempt{Endpoint: "a:1"})
	outer, inner := new(exchange.Exchange), new(exchange.Exchange)
	x.Branch(outer)
	outer.Branch(inner)
	inner.Tried(exchange.Attempt{Endpoint: "b:1", Status: 200})
	outer.Join(inner, "inner")
	outer.Tried(exchange.Attempt{Endpoint: "c:1", Status: 404})
	if outer.ID != "id-1" || outer.Params.Len() != 0 || outer.Informational != nil || len(x.Attempts) != 1 {
		t.Errorf("the branch is %+v, its exchange has tried %v", outer, x.Attempts)
	}
	outer.End(exchange.Outcome{})
	x.Join(outer, "outer")
	want := []exchange.Attempt{{Endpoint: "a:1"}, {Step: "outer/inner", Endpoint: "b:1", Status: 200}, {Step: "outer", Endpoint: "c:1", Status: 404}}
	if !slices.Equal(x.Attempts, want) {
		t.Errorf("tried %+v", x.Attempts)
	}
}

func TestParamsKeepOrderBeyondTheirInlineRoom(t *testing.T) {
	var p exchange.Params
	for i := range 9 {
		p.Add(fmt.Sprintf("n%d", i), fmt.Sprint(i))
	}
	p.Truncate(8)
	p.Add("last", "8")
	if v, ok := p.Get("n7"); !ok || v != "7" || p.Len() != 9 || p.At(8).Name != "last" {
		t.Errorf("got %v %v %d %v", v, ok, p.Len(), p.At(8))
	}
	if _, ok := p.Get("n8"); ok {
		t.Error("a truncated value is still there")
	}
	p.Truncate(2)
	if _, ok := p.Get("n2"); ok || p.Len() != 2 {
		t.Error("a truncated value is still there")
	}
}

func TestSendErrorSaysWhetherAnythingWasProcessed(t *testing.T) {
	for want, list := range map[bool][]exchange.SendError{
		true:  {{Sent: exchange.SentNothing}, {Sent: exchange.SentAll, GoAway: true}},
		false: {{Sent: exchange.SentPartly}, {Sent: exchange.SentAll}, {Sent: exchange.SentHeadSeen}},
	} {
		for _, e := range list {
			if e.Unprocessed() != want {
				t.Errorf("%+v: got %v", e, !want)
			}
		}
	}
	cause := errors.New("refused")
	if e := (&exchange.SendError{Endpoint: "a:1", Err: cause}); !errors.Is(e, cause) || e.Error() != "a:1: refused (nothing was sent)" {
		t.Errorf("got %q", e)
	}
}

func TestIdentityIDsNeverCollide(t *testing.T) {
	a := exchange.Identity{Issuer: "x", Subject: "y#z"}
	b := exchange.Identity{Issuer: "x#y", Subject: "z"}
	if a.ID() == b.ID() {
		t.Errorf("both are %q", a.ID())
	}
}

func TestMapHeadDeletesEverySpellingAndCopiesWithoutSharing(t *testing.T) {
	raw := http.Header{"x-odd": {"1"}, "X-Odd": {"2"}, "X-List": {"a", "b"}}
	h := exchange.MapHead(raw)
	dst := http.Header{}
	exchange.CopyHead(exchange.MapHead(dst), h, func(name string, _ field.Known) bool { return name == "X-List" })
	exchange.MapHead(dst).Add("X-List", "c")
	h.Del("x-odd")
	if len(raw) != 1 || !slices.Equal(raw["X-List"], []string{"a", "b"}) || !slices.Equal(dst["X-List"], []string{"a", "b", "c"}) {
		t.Errorf("source %v, copy %v", raw, dst)
	}
}

func TestHintsPassUntilTheirEndAndWithinTheirLimit(t *testing.T) {
	var passed []int
	x := &exchange.Exchange{Informational: exchange.InformerFunc(func(status int, _ exchange.Head) { passed = append(passed, status) })}
	h := x.Hints(200)
	header := textproto.MIMEHeader{"Link": {"</style.css>; rel=preload"}}
	for _, status := range []int{103, 100, 103} {
		if err := h.Pass(status, header); err != nil && !h.TooLong() {
			t.Errorf("%d: %v", status, err)
		}
	}
	if err := h.Pass(103, header); !errors.Is(err, exchange.ErrHintsTooLong) || !h.TooLong() {
		t.Errorf("beyond the limit: %v", err)
	}
	again := x.Hints(200)
	again.End()
	if err := again.Pass(103, header); err != nil {
		t.Error(err)
	}
	if !slices.Equal(passed, []int{103, 103}) {
		t.Errorf("passed %v", passed)
	}
	if none := (&exchange.Exchange{}).Hints(200); none != nil || none.TooLong() {
		t.Error("a client that takes none has hints")
	}
}

// net/http would say an announced field of the head once more as a trailer.
func TestATrailerIsNotMixedWithAFieldOfTheHead(t *testing.T) {
	for _, announced := range []string{"", "X-Sum"} {
		s := serve(t, func(w *exchange.Writer, _ *http.Request, _ *exchange.Exchange) {
			w.Head().Set("X-Sum", "of the head")
			if announced != "" {
				w.Head().Set("Trailer", announced)
			}
			_, _ = w.Write([]byte("body"))
			_ = http.NewResponseController(w).Flush()
			w.AddTrailer("x-sum", "1")
			w.AddTrailer("x-sum", "2")
		})
		res, _ := get(t, s.URL)
		if !slices.Equal(res.Trailer["X-Sum"], []string{"1", "2"}) || res.Header.Get("X-Sum") != "of the head" {
			t.Errorf("announced %q: trailers %v, head %v", announced, res.Trailer, res.Header)
		}
	}
}

// An upgrade writes its head itself, and lets no line break through.
func TestUpgradeKeepsTheOrderOfLines(t *testing.T) {
	s := serve(t, func(w *exchange.Writer, r *http.Request, _ *exchange.Exchange) {
		tunnel, err := w.Upgrade(exchange.MapHead(ordered("x-B", "1", "Upgrade", "echo", "x-bad", "1\r\nX-Evil: 2", "Connection", "Upgrade", "x-A", "2")))
		if err != nil {
			t.Error(err)
			return
		}
		_ = tunnel.Close()
	})
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	got, err := io.ReadAll(conn)
	if want := "HTTP/1.1 101 Switching Protocols\r\nx-B: 1\r\nUpgrade: echo\r\nConnection: Upgrade\r\nx-A: 2\r\n\r\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v", got, err)
	}
}

// A context that bears an exchange is no room for another one, as of a request that is made with it and enters the house anew.
func TestAContextBearsItsExchange(t *testing.T) {
	var c exchange.InnerContext
	c.Under(t.Context())
	x, inner := new(exchange.Exchange), new(exchange.Exchange)
	c.Bear(x)
	r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(&c)
	if exchange.Of(r) != x {
		t.Error("it bears another one")
	}
	_, begun := exchange.Begin(httptest.NewRecorder(), r, inner)
	if exchange.Of(begun) != inner || exchange.Of(r) != x {
		t.Error("the one within has taken its place")
	}
}

// The exchange of a request lies in its context, where that has room, and is found from below it too.
func TestAnExchangeLiesWhereTheContextOfItsRequestIs(t *testing.T) {
	base, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
	begun := func() (*http.Request, *exchange.Exchange) {
		ctx := new(exchange.RequestContext)
		ctx.Under(t.Context())
		r := base.WithContext(ctx)
		x := exchange.New(r)
		if _, got := exchange.Begin(w, r, x); got != r {
			t.Error("the request was copied")
		}
		return r, x
	}
	r, x := begun()
	below := new(cancel.Context)
	below.Under(r.Context())
	further, end := context.WithCancel(below)
	defer end()
	for _, ctx := range []context.Context{r.Context(), below, further} {
		if exchange.From(ctx) != x {
			t.Errorf("%T does not lead to it", ctx)
		}
	}
	if second := exchange.New(r); second == x || second.ID != "" {
		t.Error("a request within is given the one that is in use")
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = begun() }); n > 2 { // the context, and the copy of the request that is made here
		t.Errorf("%v allocations", n)
	}
}

// What is for problems alone runs among all others, and for nothing else.
func TestHooksForProblemsRunWhereThereIsOne(t *testing.T) {
	for want, answer := range map[string]func(*exchange.Writer){
		"1 2 3 4": func(w *exchange.Writer) { w.Fail(fault.NoEndpoint.New("")) },
		"2 4":     func(w *exchange.Writer) { w.WriteHeader(http.StatusServiceUnavailable) },
	} {
		var ran []string
		x := new(exchange.Exchange)
		w, _ := exchange.Begin(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), x)
		op := func(name string) func(int, exchange.Head) {
			return func(int, exchange.Head) { ran = append(ran, name) }
		}
		x.OnFault(op("1"))
		x.OnHead(op("2"))
		x.OnFault(op("3"))
		x.OnHead(op("4"))
		if answer(w); strings.Join(ran, " ") != want {
			t.Errorf("%q, not %q", ran, want)
		}
	}
}

func TestTheFirstHookTakesNoMemory(t *testing.T) {
	w, r, op := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), func(int, exchange.Head) {}
	x := new(exchange.Exchange)
	if n := testing.AllocsPerRun(100, func() {
		*x = exchange.Exchange{}
		x.OnFault(op)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if ew, _ := exchange.Begin(w, r, x); ew.Finish(nil).Err != nil {
		t.Error("it failed")
	}
}

func TestHooksRunInTheirOrder(t *testing.T) {
	var ran []string
	x := new(exchange.Exchange)
	w, _ := exchange.Begin(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), x)
	for _, name := range []string{"1", "2", "3"} {
		x.OnHead(func(int, exchange.Head) { ran = append(ran, "head "+name) })
		x.OnDone(func(exchange.Outcome) { ran = append(ran, "done "+name) })
	}
	w.Finish(nil)
	x.OnHead(func(int, exchange.Head) { ran = append(ran, "late") })
	x.End(exchange.Outcome{})
	if want := []string{"head 1", "head 2", "head 3", "done 3", "done 2", "done 1"}; !slices.Equal(ran, want) {
		t.Errorf("%q, not %q", ran, want)
	}
}
