package service_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// endsWith is content that ends with an error.
type endsWith struct {
	io.Reader

	err error
}

func (b endsWith) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = b.err
	}
	return n, err
}

func (endsWith) Close() error { return nil }

// grpcCall is the answer to a gRPC call, whose status is in the trailer.
func grpcCall(kind, status string, end error) *http.Response {
	return &http.Response{
		StatusCode: http.StatusOK, ProtoMajor: 2, ContentLength: -1, Header: http.Header{"Content-Type": {kind}},
		Trailer: http.Header{"Grpc-Status": {status}}, Body: endsWith{strings.NewReader("message"), end},
	}
}

// opens is a breaker that opens when half of three requests fail.
func opens() *config.Breaker {
	return &config.Breaker{Failures: 50, Window: 10 * time.Second, Least: 3, Pause: 5 * time.Second}
}

// Whether a request has succeeded is often known only when its answer ends.
func TestTheEndOfAnAnswerIsJudged(t *testing.T) {
	broke := &exchange.SendError{Sent: exchange.SentHeadSeen, Err: io.ErrUnexpectedEOF}
	for name, c := range map[string]struct {
		answer   func() *http.Response
		leaves   bool   // the client leaves halfway
		talks    bool   // the client goes on sending meanwhile
		statuses []int  // of the outlier setting; nil: the defaults
		why      string // why the endpoint is ejected; "": it is not
		opens    bool   // the breaker opens
	}{
		"UNAVAILABLE":           {answer: func() *http.Response { return grpcCall("application/grpc", "14", io.EOF) }, why: "gRPC status UNAVAILABLE", opens: true},
		"of a conversation":     {answer: func() *http.Response { return grpcCall("application/grpc+proto", "14", io.EOF) }, talks: true, why: "gRPC status UNAVAILABLE", opens: true},
		"INTERNAL":              {answer: func() *http.Response { return grpcCall("application/grpc", "13", io.EOF) }},
		"INTERNAL, as 500":      {answer: func() *http.Response { return grpcCall("application/grpc", "13", io.EOF) }, statuses: []int{500}, why: "gRPC status INTERNAL"},
		"no status at all":      {answer: func() *http.Response { return grpcCall("application/grpc", "", io.EOF) }, statuses: []int{500}, why: "gRPC status missing"},
		"OK":                    {answer: func() *http.Response { return grpcCall("application/grpc", "0", io.EOF) }, statuses: []int{500, 503}},
		"the client's time":     {answer: func() *http.Response { return grpcCall("application/grpc", "4", io.EOF) }, statuses: []int{500, 503, 504}},
		"gRPC-Web has no other": {answer: func() *http.Response { return grpcCall("application/grpc-web", "", io.EOF) }, statuses: []int{500}},
		"a call that broke off": {answer: func() *http.Response { return grpcCall("application/grpc", "", broke) }, why: "the answer broke off: unexpected EOF", opens: true},
		"a call that was left":  {answer: func() *http.Response { return grpcCall("application/grpc", "14", io.EOF) }, leaves: true},
		"HTTP that broke off": {answer: func() *http.Response {
			return &http.Response{StatusCode: 200, Body: endsWith{strings.NewReader("half"), broke}}
		}, why: "the answer broke off: unexpected EOF", opens: true},
		"HTTP that was left": {answer: func() *http.Response {
			return &http.Response{StatusCode: 200, Body: endsWith{strings.NewReader("half"), broke}}
		}, leaves: true},
		"an error that broke": {answer: func() *http.Response {
			return &http.Response{StatusCode: 404, Body: endsWith{strings.NewReader("half"), broke}}
		}, why: "the answer broke off: unexpected EOF", opens: true},
		"HTTP that is all right": {answer: func() *http.Response { return response(200, "whole") }},
	} {
		synctest.Test(t, func(t *testing.T) {
			roads := road(func(r *http.Request) (*http.Response, error) {
				if !c.talks && r.Body != nil {
					_, _ = io.Copy(io.Discard, r.Body)
				}
				if r.URL.Host == "a:1" {
					return c.answer(), nil
				}
				return response(200, "ok"), nil
			})
			send := func(s *service.Service) error {
				req, _ := request(http.MethodPost, "question")
				ctx, cancel := context.WithCancel(req.Context())
				defer cancel()
				res, err := s.RoundTrip(req.WithContext(ctx))
				if err != nil {
					return err
				}
				if c.leaves {
					cancel()
				} else {
					_, _ = io.Copy(io.Discard, res.Body)
				}
				return res.Body.Close()
			}
			ejecting := service.New(service.Options{Name: "users", Balance: inTurn, Log: quiet(), Transport: roads, Selection: outlier(func(o *config.Outlier) {
				if c.statuses != nil {
					o.Statuses = c.statuses
				}
			})})
			defer ejecting.Close()
			ejecting.Set(endpoints("a:1", "b:1"))
			for range 40 {
				_ = send(ejecting)
			}
			why := ""
			if c.why != "" {
				why = "5 failures in a row: " + c.why
			}
			if e := ejecting.Status().Endpoints[0]; e.Why != why || e.InFlight != 0 {
				t.Errorf("%s: ejected for %q, %d in flight; want %q", name, e.Why, e.InFlight, why)
			}
			breaking := with(roads, service.Balance{Breaker: opens()}, config.Retry{}, "a:1")
			for range 10 {
				_ = send(breaking)
			}
			if got := breaking.Status().Resting; got != c.opens {
				t.Errorf("%s: the breaker is open: %v", name, got)
			}
		})
	}
}

// The same over real connections, with the trailer after the content and with a stream that is reset.
func TestTheEndOfARealCallIsJudged(t *testing.T) {
	for name, c := range map[string]struct {
		end func(http.ResponseWriter)
		why string
	}{
		"trailer": {func(w http.ResponseWriter) { w.Header().Set(http.TrailerPrefix+"Grpc-Status", "14") }, "5 failures in a row: gRPC status UNAVAILABLE"},
		"reset":   {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, "5 failures in a row: the answer broke off: stream error"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/grpc")
				_, _ = io.WriteString(w, "message")
				_ = http.NewResponseController(w).Flush()
				c.end(w)
			}))
			server.Config.Protocols = new(http.Protocols)
			server.Config.Protocols.SetUnencryptedHTTP2(true)
			server.Start()
			t.Cleanup(server.Close)
			connections, err := transport.New(transport.Options{Protocol: transport.GRPC})
			if err != nil {
				t.Fatal(err)
			}
			defer connections.CloseIdle()
			s := service.New(service.Options{Name: "users", Log: quiet(), Transport: connections, Selection: outlier(func(*config.Outlier) {}), Balance: service.Balance{Breaker: opens()}})
			defer s.Close()
			at := strings.TrimPrefix(server.URL, "http://")
			s.Set([]discovery.Endpoint{{Address: at, ID: "a", Weight: 1}, {Address: at, ID: "b", Weight: 1}})
			for range 2 {
				_, _ = ask(t, s, http.MethodPost)
			}
			if s.Status().Resting {
				t.Error("the breaker opens early")
			}
			_, _ = ask(t, s, http.MethodPost)
			if !s.Status().Resting {
				t.Error("the breaker is closed")
			}
			s.Tune(inTurn)
			for range 20 {
				_, _ = ask(t, s, http.MethodPost)
			}
			if all := s.Status().Endpoints; !strings.HasPrefix(all[0].Why+all[1].Why, c.why) {
				t.Errorf("they are %s (%q) and %s (%q)", all[0].State, all[0].Why, all[1].State, all[1].Why)
			}
		})
	}
}

// A stream may last for hours. An ejected endpoint or a service with an open breaker that is on trial with such a
// stream counts as recovered once the stream has lasted for a while.
func TestAStreamThatLastsProves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answer func() *http.Response
		roads := road(func(*http.Request) (*http.Response, error) { return answer(), nil })
		s := service.New(service.Options{
			Name: "users", Balance: service.Balance{Settings: inTurn.Settings, Breaker: opens()}, Log: quiet(), Transport: roads,
			Retry: config.Retry{Attempts: 1}, Selection: outlier(func(o *config.Outlier) { o.Failures = 2 }),
		})
		defer s.Close()
		s.Set(endpoints("a:1", "b:1"))
		answer = func() *http.Response { return response(503, "") }
		for range 10 {
			_, _ = ask(t, s, http.MethodGet)
		}
		if got := states(s); !s.Status().Resting || !strings.Contains(got, "ejected") {
			t.Fatalf("%s, the breaker is open: %v", got, s.Status().Resting)
		}
		time.Sleep(40 * time.Second) //nolint:forbidigo // of the bubble's clock
		stream, stops := io.Pipe()
		answer = func() *http.Response {
			res := grpcCall("application/grpc", "14", nil)
			res.Body = stream
			return res
		}
		req, _ := request("GET", "")
		res, err := s.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Second) //nolint:forbidigo // of the bubble's clock
		if _, err := ask(t, s, http.MethodGet); code(err) != "breaker-open" {
			t.Errorf("two try at once: %v", err)
		}
		time.Sleep(2 * time.Second) //nolint:forbidigo // of the bubble's clock
		synctest.Wait()
		if got := states(s); s.Status().Resting || strings.Contains(got, "ejected") {
			t.Errorf("%s, the breaker is open: %v", got, s.Status().Resting)
		}
		_ = stops.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	})
}

// Whatever happens to the request on trial, another one may be on trial after it.
func TestATrialIsGivenBack(t *testing.T) {
	for name, end := range map[string]func(s *service.Service) (answer func() (*http.Response, error), after func(*http.Response)){
		"a panic": func(*service.Service) (func() (*http.Response, error), func(*http.Response)) {
			return func() (*http.Response, error) { panic("in the transport") }, nil
		},
		"the breaker is taken away and put back": func(s *service.Service) (func() (*http.Response, error), func(*http.Response)) {
			return func() (*http.Response, error) {
				s.Tune(inTurn)
				s.Tune(service.Balance{Settings: inTurn.Settings, Breaker: opens()})
				return response(503, ""), nil
			}, nil
		},
		"it is given another window": func(s *service.Service) (func() (*http.Response, error), func(*http.Response)) {
			return func() (*http.Response, error) {
				other := opens()
				other.Window *= 2
				s.Tune(service.Balance{Settings: inTurn.Settings, Breaker: other})
				return response(503, ""), nil
			}, nil
		},
		"it is taken away while the answer lasts": func(s *service.Service) (func() (*http.Response, error), func(*http.Response)) {
			return func() (*http.Response, error) { return response(200, "lasts"), nil }, func(*http.Response) {
				s.Tune(inTurn)
				s.Tune(service.Balance{Settings: inTurn.Settings, Breaker: opens()})
			}
		},
		"nobody reads the answer": func(*service.Service) (func() (*http.Response, error), func(*http.Response)) {
			return func() (*http.Response, error) { return grpcCall("application/grpc", "0", io.EOF), nil }, nil
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			answer := func() (*http.Response, error) { return response(503, ""), nil }
			s := service.New(service.Options{
				Name: "users", Balance: service.Balance{Settings: inTurn.Settings, Breaker: opens()}, Log: quiet(),
				Transport: road(func(*http.Request) (*http.Response, error) { return answer() }), Retry: config.Retry{Attempts: 1}, Selection: outlier(func(*config.Outlier) {}),
			})
			defer s.Close()
			s.Set(endpoints("a:1", "b:1"))
			sicken := func() {
				t.Helper()
				answer = func() (*http.Response, error) { return response(503, ""), nil }
				for range 30 {
					_, _ = ask(t, s, http.MethodGet)
				}
				if !s.Status().Resting {
					t.Fatalf("%s: the breaker is closed", name)
				}
			}
			sicken()
			time.Sleep(6 * time.Minute) //nolint:forbidigo // of the bubble's clock
			var after func(*http.Response)
			answer, after = end(s)
			func() {
				defer func() { _ = recover() }()
				req, _ := request("GET", "")
				res, err := s.RoundTrip(req)
				if err == nil {
					if after != nil {
						after(res)
					}
					time.Sleep(time.Minute) //nolint:forbidigo // of the bubble's clock
					_ = res.Body.Close()
				}
			}()
			sicken()
			time.Sleep(6 * time.Minute) //nolint:forbidigo // of the bubble's clock
			answer = func() (*http.Response, error) { return response(200, "ok"), nil }
			for i := range 10 {
				if res, err := ask(t, s, http.MethodGet); err != nil || res.StatusCode != http.StatusOK {
					t.Errorf("%s: request %d: %v", name, i, err)
				}
			}
			if got := states(s); got != "a:1 healthy, b:1 healthy, asks healthy" || s.Status().Resting {
				t.Errorf("%s: %s, the breaker is open: %v", name, got, s.Status().Resting)
			}
			for _, e := range s.Status().Endpoints {
				if e.InFlight != 0 {
					t.Errorf("%s: %d in flight", name, e.InFlight)
				}
			}
		})
	}
}

// If the request that would prove an ejected endpoint panics, another request proves it.
func TestAProofThatPanicsIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackends()
		b.status["a:1"] = 503
		panics := false
		s := service.New(service.Options{
			Name: "users", Balance: inTurn, Log: quiet(), Retry: config.Retry{Attempts: 1}, Selection: outlier(func(*config.Outlier) {}),
			Transport: road(func(r *http.Request) (*http.Response, error) {
				if panics {
					panic("in the transport")
				}
				return b.RoundTrip(r)
			}),
		})
		defer s.Close()
		s.Set(endpoints("a:1", "b:1"))
		get(s, 100)
		time.Sleep(31 * time.Second) //nolint:forbidigo // of the bubble's clock
		b.set(func() { delete(b.status, "a:1") })
		panics = true
		func() {
			defer func() { _ = recover() }()
			get(s, 1)
		}()
		panics = false
		get(s, 10)
		if got := states(s); got != "a:1 healthy, b:1 healthy, asks healthy" {
			t.Error(got)
		}
	})
}

// Judging at the end costs nothing on the way: a plain request allocates what it did before requests were judged.
func TestARequestAllocatesLittle(t *testing.T) {
	res := response(http.StatusOK, "")
	s := newService(road(func(*http.Request) (*http.Response, error) { return res, nil }), 2, config.Timeouts{}, endpoints("a:1", "b:1", "c:1")...)
	req, x := request("GET", "")
	const most = 3 // the attempt with its request, the body that reports its end, and the receiver of that report
	if n := testing.AllocsPerRun(200, func() {
		x.Attempts = x.Attempts[:0]
		got, err := s.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = got.Body.Close()
		got.Body = http.NoBody
	}); n > most {
		t.Errorf("%v allocations", n)
	}
}
