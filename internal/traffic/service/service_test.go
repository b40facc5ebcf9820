package service_test

import (
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// engine is what speaks HTTP/1.1 with endpoints in these tests. They demand the same of each engine.
var engine = flag.String("engine", string(config.OwnEngine), "the engine: std or own")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// road is a transport made of a function.
type road func(*http.Request) (*http.Response, error)

func (f road) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func response(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

// endpoints makes endpoints of equal weight.
func endpoints(addresses ...string) []discovery.Endpoint {
	var list []discovery.Endpoint
	for _, a := range addresses {
		list = append(list, discovery.Endpoint{Address: a, Weight: 1})
	}
	return list
}

func newService(r http.RoundTripper, attempts int, timeouts config.Timeouts, list ...discovery.Endpoint) *service.Service {
	s := service.New(service.Options{
		Name: "users", Transport: r, Retry: config.Retry{Attempts: attempts, Statuses: []int{503}},
		Timeouts: timeouts, Log: slog.New(slog.DiscardHandler),
	})
	s.Set(list)
	return s
}

func request(method, body string) (*http.Request, *exchange.Exchange) {
	var r io.Reader
	if body != "" {
		r = io.MultiReader(strings.NewReader(body))
	}
	req, _ := http.NewRequestWithContext(context.Background(), method, "http://weir/path?q", r)
	x := &exchange.Exchange{}
	return exchange.With(req, x), x
}

// The transport is told an endpoint's fallback address and its name; everything else uses its address.
func TestAnEndpointIsMoreThanItsAddress(t *testing.T) {
	e := discovery.Endpoint{Address: "[2001:db8::1]:80", Fallback: "192.0.2.1:80", Name: "users.internal", Weight: 1}
	var host string
	s := newService(road(func(r *http.Request) (*http.Response, error) {
		host = r.URL.Host
		return response(200, "ok"), nil
	}), 0, config.Timeouts{}, e)
	req, x := request(http.MethodGet, "")
	res, err := s.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if want := transport.Host(e.Address, e.Fallback, e.Name, e.ID); host != want {
		t.Errorf("got %s, want %s", host, want)
	}
	if tried := x.Attempts; len(tried) != 1 || tried[0].Endpoint != e.Address {
		t.Errorf("got %+v", tried)
	}
	if got := s.Status().Endpoints; len(got) != 1 || got[0].Endpoint != e {
		t.Errorf("got %+v", got)
	}
}

func code(err error) string {
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		return f.Code
	}
	return ""
}

// Each error of the first attempt, and whether another attempt may follow.
func TestWhatIsTriedAgain(t *testing.T) {
	dial := &exchange.SendError{Dial: true, Sent: exchange.SentNothing, Err: errors.New("refused")}
	nothing := &exchange.SendError{Sent: exchange.SentNothing, Reused: true, Err: errors.New("closed")}
	partly := &exchange.SendError{Sent: exchange.SentPartly, Err: errors.New("reset")}
	all := &exchange.SendError{Sent: exchange.SentAll, Err: errors.New("reset")}
	goaway := &exchange.SendError{Sent: exchange.SentAll, GoAway: true, Err: errors.New("goaway")}
	invalid := fault.BackendInvalid.New("", fault.Cause(all))
	for name, c := range map[string]struct {
		method, key string
		err         error
		status      int // of the first response, if err is nil
		again       bool
		unsent      bool   // the policy is the one for writes of a composition
		fault       string // if it is not tried again
	}{
		"POST, dial failed":             {method: "POST", err: dial, again: true},
		"POST, nothing was sent":        {method: "POST", err: nothing, again: true},
		"POST, partly sent":             {method: "POST", err: partly, fault: "backend-reset"},
		"POST, sent":                    {method: "POST", err: all, fault: "backend-reset"},
		"POST, GOAWAY":                  {method: "POST", err: goaway, again: true},
		"POST, sent, with a key":        {method: "POST", key: "1", err: all, again: true},
		"PATCH, sent":                   {method: "PATCH", err: all, fault: "backend-reset"},
		"GET, sent":                     {method: "GET", err: all, again: true},
		"PUT, partly sent":              {method: "PUT", err: partly, again: true},
		"DELETE, sent":                  {method: "DELETE", err: all, again: true},
		"GET, no HTTP":                  {method: "GET", err: invalid, fault: "backend-invalid-response"},
		"GET, a listed status":          {method: "GET", status: 503, again: true},
		"POST, a listed status":         {method: "POST", status: 503},
		"GET, a status not listed":      {method: "GET", status: 500},
		"GET, an error of another kind": {method: "GET", err: io.ErrNoProgress},
		"a write, nothing was sent":     {method: "PUT", unsent: true, err: nothing, again: true},
		"a write, partly sent":          {method: "PUT", unsent: true, err: partly, fault: "backend-reset"},
		"a write, sent, with a key":     {method: "POST", unsent: true, key: "1", err: all, fault: "backend-reset"},
		"a write, a listed status":      {method: "DELETE", unsent: true, status: 503},
	} {
		t.Run(name, func(t *testing.T) {
			var tried []string
			s := newService(road(func(r *http.Request) (*http.Response, error) {
				body, _ := io.ReadAll(r.Body)
				_ = r.Body.Close()
				tried = append(tried, r.URL.Host)
				switch {
				case string(body) != "payload":
					t.Errorf("attempt %d got the body %q", len(tried), body)
				case len(tried) > 1:
					return response(http.StatusOK, "ok"), nil
				case c.err == nil:
					return response(c.status, "busy"), nil
				}
				return nil, c.err
			}), 1, config.Timeouts{}, endpoints("a:1", "b:1")...)
			req, x := request(c.method, "payload")
			if c.key != "" {
				req.Header.Set("Idempotency-Key", c.key)
			}
			backend := http.RoundTripper(s)
			if c.unsent {
				backend = s.View(service.ViewOptions{Retry: config.Retry{Attempts: 1, Statuses: []int{503}, Unsent: true}})
			}
			res, err := backend.RoundTrip(req)
			if c.again != (len(tried) == 2) {
				t.Fatalf("tried %v: %v", tried, err)
			}
			if c.again && (err != nil || res.StatusCode != http.StatusOK || tried[0] == tried[1]) {
				t.Errorf("tried %v: %v", tried, err)
			}
			if !c.again && c.err != nil && (!errors.Is(err, c.err) || code(err) != c.fault) {
				t.Errorf("%v", err)
			}
			if len(x.Attempts) != len(tried) || x.Attempts[0].Endpoint != tried[0] || x.Backend != "users" {
				t.Errorf("the exchange knows of %+v", x.Attempts)
			}
			if res != nil {
				_ = res.Body.Close()
			}
			for _, e := range s.Status().Endpoints {
				if e.InFlight != 0 {
					t.Errorf("%+v", e)
				}
			}
		})
	}
}

func TestNoEndpointIsAFaultWithATimeToComeBack(t *testing.T) {
	s := newService(nil, 3, config.Timeouts{})
	req, _ := request("POST", "payload")
	closed := &spyBody{Reader: req.Body}
	req.Body = closed
	_, err := s.RoundTrip(req)
	var f *fault.Fault
	if !errors.As(err, &f) || f.Code != fault.NoEndpoint.Code || f.RetryAfter <= 0 || !closed.closed.Load() {
		t.Errorf("%v", err)
	}
}

type spyBody struct {
	io.Reader

	closed atomic.Bool
}

func (s *spyBody) Close() error { s.closed.Store(true); return nil }

func TestASlowHeadIsGivenUpAndTriedElsewhereOnlyWhereTheConfigSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow string
		s := newService(road(func(r *http.Request) (*http.Response, error) {
			if slow == "" {
				slow = r.URL.Host
				<-r.Context().Done()
				return nil, &exchange.SendError{Sent: exchange.SentAll, Err: context.Cause(r.Context())}
			}
			return response(http.StatusOK, "from "+r.URL.Host), nil
		}), 1, config.Timeouts{Head: time.Second}, endpoints("a:1", "b:1")...)
		start := time.Now()
		req, x := request("GET", "")
		retrying := s.View(service.ViewOptions{Retry: config.Retry{Attempts: 1, Statuses: []int{504}}, Timeouts: config.Timeouts{Head: time.Second}})
		res, err := retrying.RoundTrip(req)
		if err != nil || res.StatusCode != http.StatusOK || time.Since(start) != time.Second {
			t.Fatalf("%v after %v", err, time.Since(start))
		}
		_ = res.Body.Close()
		var first *exchange.SendError
		if !errors.As(x.Attempts[0].Err, &first) || !first.Timeout || first.Endpoint != slow || x.Attempts[0].Took != time.Second {
			t.Errorf("%+v", x.Attempts[0])
		}
		slow = ""
		start = time.Now()
		req, _ = request("GET", "")
		if _, err := s.RoundTrip(req); code(err) != "backend-timeout" || time.Since(start) != time.Second {
			t.Errorf("without 504 among the statuses: %v after %v", err, time.Since(start))
		}
		slow = ""
		start = time.Now().Add(-time.Second)
		req, _ = request("POST", "payload")
		if _, err := s.View(service.ViewOptions{Timeouts: config.Timeouts{Head: time.Minute}}).RoundTrip(withBodyRead(req)); code(err) != "backend-timeout" {
			t.Errorf("%v", err)
		}
		if took := time.Since(start); took != time.Second+time.Minute {
			t.Errorf("a view's own bound was not kept: %v", took)
		}
	})
}

// withBodyRead makes a request with its body read to the end, so that the wait for the response head begins.
func withBodyRead(r *http.Request) *http.Request {
	r.Body = http.NoBody
	return r
}

// The time that a client takes to send its body does not count against the backend.
func TestTheHeadIsWaitedForOnceTheRequestWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(road(func(r *http.Request) (*http.Response, error) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return nil, err
			}
			if err := r.Context().Err(); err != nil {
				return nil, err
			}
			return response(http.StatusOK, ""), nil
		}), 0, config.Timeouts{Head: time.Second}, endpoints("a:1")...)
		in, out := io.Pipe()
		go func() {
			<-time.After(time.Hour) // on the bubble's clock
			_ = out.Close()
		}()
		req, _ := request("POST", "")
		req.Body = in
		res, err := s.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	})
}

func TestTheClientsEndIsNotTheBackends(t *testing.T) {
	s := newService(road(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, &exchange.SendError{Sent: exchange.SentAll, Err: r.Context().Err()}
	}), 5, config.Timeouts{Head: time.Minute}, endpoints("a:1", "b:1")...)
	ctx, cancel := context.WithCancelCause(context.Background())
	left := errors.New("left")
	req, x := request("GET", "")
	req = req.WithContext(exchange.With(req.WithContext(ctx), x).Context())
	time.AfterFunc(time.Millisecond, func() { cancel(left) })
	if _, err := s.RoundTrip(req); !errors.Is(err, left) || len(x.Attempts) != 1 {
		t.Errorf("%v after %d attempts", err, len(x.Attempts))
	}
}

func TestABrokenClientBodyIsNobodysFailure(t *testing.T) {
	broken := errors.New("the client's connection broke")
	tries := 0
	s := newService(road(func(r *http.Request) (*http.Response, error) {
		tries++
		_, err := io.Copy(io.Discard, r.Body)
		return nil, &exchange.SendError{Sent: exchange.SentPartly, Err: err}
	}), 5, config.Timeouts{}, endpoints("a:1", "b:1")...)
	req, _ := request("PUT", "")
	req.Body = io.NopCloser(io.MultiReader(strings.NewReader("half"), readerFunc(func([]byte) (int, error) { return 0, broken })))
	if _, err := s.RoundTrip(req); !errors.Is(err, broken) || code(err) != "" || tries != 1 {
		t.Errorf("%v after %d tries", err, tries)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestTheOnlyEndpointIsTriedAgainAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries, start := 0, time.Now()
		s := newService(road(func(*http.Request) (*http.Response, error) {
			if tries++; tries < 4 {
				return nil, &exchange.SendError{Dial: true, Err: errors.New("refused")}
			}
			return response(http.StatusOK, ""), nil
		}), 3, config.Timeouts{}, endpoints("a:1")...)
		req, _ := request("POST", "payload")
		res, err := s.RoundTrip(req)
		if err != nil || tries != 4 {
			t.Fatalf("%v after %d tries", err, tries)
		}
		_ = res.Body.Close()
		if took := time.Since(start); took < 50*time.Millisecond || took > time.Second {
			t.Errorf("paused %v", took)
		}
	})
}

func TestInFlightLastsAsLongAsTheBody(t *testing.T) {
	s := newService(road(func(*http.Request) (*http.Response, error) { return response(http.StatusOK, "body"), nil }),
		0, config.Timeouts{}, endpoints("a:1")...)
	active := func() int64 { return s.Status().Endpoints[0].InFlight }
	for name, end := range map[string]func(*http.Response){
		"closed": func(res *http.Response) { _ = res.Body.Close(); _ = res.Body.Close() },
		"read":   func(res *http.Response) { _, _ = io.Copy(io.Discard, res.Body) },
	} {
		req, _ := request("GET", "")
		res, err := s.RoundTrip(req)
		if err != nil || active() != 1 {
			t.Fatalf("%s: %v, %d in flight", name, err, active())
		}
		end(res)
		if active() != 0 {
			t.Errorf("%s: %d in flight", name, active())
		}
	}
}

// tunnelBody is an upgraded connection that reports its end.
type tunnelBody struct {
	io.ReadWriteCloser

	end func(how error)
}

func (b *tunnelBody) OnEnd(e exchange.Ending) { b.end = e.Ended }

func TestAnUpgradesBodyIsCountedButNotWrapped(t *testing.T) {
	body := &tunnelBody{}
	s := newService(road(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusSwitchingProtocols, Body: body}, nil
	}), 0, config.Timeouts{}, endpoints("a:1")...)
	req, _ := request("GET", "")
	res, err := s.RoundTrip(req)
	if err != nil || res.Body != body || s.Status().Endpoints[0].InFlight != 1 {
		t.Fatalf("%v, %T, %+v", err, res.Body, s.Status())
	}
	body.end(nil)
	if n := s.Status().Endpoints[0].InFlight; n != 0 {
		t.Errorf("%d in flight", n)
	}
}

func TestWhatIsKnownOfAnEndpointOutlivesALists(t *testing.T) {
	s := newService(road(func(*http.Request) (*http.Response, error) { return response(http.StatusOK, "body"), nil }), 0, config.Timeouts{})
	pod := func(id, address string) discovery.Endpoint {
		return discovery.Endpoint{ID: id, Address: address, Weight: 1}
	}
	s.Set([]discovery.Endpoint{pod("uid-1", "10.0.0.1:80")})
	req, _ := request("GET", "")
	res, err := s.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	inFlight := func(list ...discovery.Endpoint) (counts []int64) {
		s.Set(list)
		for _, e := range s.Status().Endpoints {
			counts = append(counts, e.InFlight)
		}
		return counts
	}
	if got := inFlight(pod("uid-2", "10.0.0.2:80"), pod("uid-1", "10.0.0.1:80"), pod("uid-1", "10.0.0.1:80")); len(got) != 2 || got[0] != 0 || got[1] != 1 {
		t.Errorf("%v", got)
	}
	if got := inFlight(pod("uid-3", "10.0.0.1:80")); len(got) != 1 || got[0] != 0 {
		t.Errorf("another pod at the same address inherited %v", got)
	}
	_ = res.Body.Close()
}

func TestABodyOfAnAbandonedAttemptLosesNothing(t *testing.T) {
	in, out := io.Pipe()
	reading := make(chan struct{})
	var stray sync.WaitGroup
	tries := 0
	s := newService(road(func(r *http.Request) (*http.Response, error) {
		if tries++; tries == 1 {
			stray.Go(func() { // like an HTTP/2 transport, it still reads after the attempt has failed
				close(reading)
				_, _ = io.Copy(io.Discard, r.Body)
			})
			<-reading
			return nil, &exchange.SendError{GoAway: true, Err: errors.New("goaway")}
		}
		go func() {
			_, _ = io.WriteString(out, "pay")
			_, _ = io.WriteString(out, "load")
			_ = out.Close()
		}()
		body, err := io.ReadAll(r.Body)
		return response(http.StatusOK, string(body)), err
	}), 1, config.Timeouts{}, endpoints("a:1", "b:1")...)
	req, _ := request("POST", "")
	req.Body = in
	res, err := s.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if got, _ := io.ReadAll(res.Body); string(got) != "payload" {
		t.Errorf("the second attempt read %q", got)
	}
	stray.Wait()
}

func TestManyAtOnceWhileEndpointsChange(t *testing.T) {
	s := newService(road(func(r *http.Request) (*http.Response, error) {
		if strings.HasPrefix(r.URL.Host, "dead") {
			return nil, &exchange.SendError{Dial: true, Err: errors.New("refused")}
		}
		return response(http.StatusOK, "ok"), nil
	}), 2, config.Timeouts{Head: time.Minute}, endpoints("a:1", "dead:1")...)
	done := make(chan struct{})
	var setter, all sync.WaitGroup
	setter.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
				s.Set([][]discovery.Endpoint{endpoints("a:1", "dead:1"), endpoints("b:1", "a:1"), endpoints("b:1")}[i%3])
			}
		}
	})
	for range 100 {
		all.Go(func() {
			for range 20 {
				req, _ := request("POST", "payload")
				res, err := s.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return
				}
				_ = res.Body.Close()
			}
		})
	}
	all.Wait()
	close(done)
	setter.Wait()
	s.Set(endpoints("a:1", "b:1"))
	for _, e := range s.Status().Endpoints {
		if e.InFlight != 0 {
			t.Errorf("%+v", e)
		}
	}
}

// TestWhoDrainsIsAskedOnlyWhereNobodyIsReady checks the order of KEP-1669.
func TestWhoDrainsIsAskedOnlyWhereNobodyIsReady(t *testing.T) {
	in := func(address string, c discovery.Condition) discovery.Endpoint {
		return discovery.Endpoint{Address: address, Weight: 1, Condition: c}
	}
	ready, draining, notReady := in("ready:1", discovery.Ready), in("draining:1", discovery.Draining), in("notready:1", discovery.NotReady)
	for name, c := range map[string]struct {
		list []discovery.Endpoint
		want string
	}{
		"some are ready":   {[]discovery.Endpoint{draining, ready, notReady, in("ready:2", discovery.Ready)}, "ready:1 ready:2"},
		"none is ready":    {[]discovery.Endpoint{draining, notReady}, "draining:1"},
		"none answers now": {[]discovery.Endpoint{notReady}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			asked := map[string]bool{}
			s := newService(road(func(r *http.Request) (*http.Response, error) {
				asked[r.URL.Host] = true
				return response(http.StatusOK, ""), nil
			}), 0, config.Timeouts{}, c.list...)
			for range 100 {
				req, _ := request(http.MethodGet, "")
				if res, err := s.RoundTrip(req); err == nil {
					_ = res.Body.Close()
				} else if f, ok := errors.AsType[*fault.Fault](err); c.want != "" || !ok || f.Code != fault.NoEndpoint.Code {
					t.Fatalf("it fails: %v", err)
				}
			}
			if got := strings.Join(slices.Sorted(maps.Keys(asked)), " "); got != c.want {
				t.Errorf("asked: %q, want %q", got, c.want)
			}
		})
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	for name, timeouts := range map[string]config.Timeouts{"bare": {}, "head timeout": {Head: time.Minute}} {
		b.Run(name, func(b *testing.B) {
			res := response(http.StatusOK, "")
			s := newService(road(func(*http.Request) (*http.Response, error) { return res, nil }), 2, timeouts, endpoints("a:1", "b:1", "c:1")...)
			req, x := request("GET", "")
			b.ReportAllocs()
			for b.Loop() {
				x.Attempts = x.Attempts[:0]
				got, err := s.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				_ = got.Body.Close()
				got.Body = http.NoBody
			}
		})
	}
}
