package service_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

func balanced(r http.RoundTripper, by balance.Settings, addresses ...string) *service.Service {
	s := service.New(service.Options{Name: "users", Transport: r, Balance: service.Balance{Settings: by}, Log: slog.New(slog.DiscardHandler)})
	s.Set(endpoints(addresses...))
	return s
}

// ask sends one request and reads the whole answer.
func ask(t *testing.T, s http.RoundTripper, method string) (*http.Response, error) {
	t.Helper()
	req, _ := request(method, "")
	res, err := s.RoundTrip(req)
	if err == nil {
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
	}
	return res, err
}

// An endpoint that fails at once looks fast. It must not get more requests for that, whatever the failure is.
func TestWhoFailsAtOnceIsLeftAlone(t *testing.T) {
	grpc := func(head, trailer string) *http.Response {
		res := response(http.StatusOK, "")
		res.ProtoMajor = 2
		res.Header.Set("Content-Type", "application/grpc")
		if head != "" {
			res.Header.Set("Grpc-Status", head)
		}
		res.Trailer = http.Header{"Grpc-Status": {trailer}}
		return res
	}
	for name, c := range map[string]struct {
		answer func() (*http.Response, error)
		most   int // of 300 requests; its fair share is 100
		least  int
	}{
		"no connection": {answer: func() (*http.Response, error) {
			return nil, &exchange.SendError{Dial: true, Err: errors.New("refused")}
		}, most: 3},
		"503":                 {answer: func() (*http.Response, error) { return response(503, ""), nil }, most: 3},
		"500 each time":       {answer: func() (*http.Response, error) { return response(500, ""), nil }, most: 10},
		"gRPC, no stream":     {answer: func() (*http.Response, error) { return grpc("14", ""), nil }, most: 3},
		"gRPC, in the end":    {answer: func() (*http.Response, error) { return grpc("", "14"), nil }, most: 3},
		"gRPC, INTERNAL":      {answer: func() (*http.Response, error) { return grpc("", "13"), nil }, most: 10},
		"gRPC, NOT_FOUND":     {answer: func() (*http.Response, error) { return grpc("", "5"), nil }, most: 300, least: 60},
		"501":                 {answer: func() (*http.Response, error) { return response(501, ""), nil }, most: 300, least: 60},
		"404":                 {answer: func() (*http.Response, error) { return response(404, ""), nil }, most: 300, least: 60},
		"an idle one closed":  {answer: func() (*http.Response, error) { return nil, &exchange.SendError{Reused: true, Err: io.EOF} }, most: 300, least: 60},
		"GOAWAY, unprocessed": {answer: func() (*http.Response, error) { return nil, &exchange.SendError{GoAway: true, Err: io.EOF} }, most: 300, least: 60},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := 0
				s := balanced(road(func(r *http.Request) (*http.Response, error) {
					if r.URL.Host == "a:1" {
						got++
						return c.answer()
					}
					time.Sleep(10 * time.Millisecond) //nolint:forbidigo // of the bubble's clock
					return response(http.StatusOK, "ok"), nil
				}), balance.Settings{}, "a:1", "b:1", "c:1")
				for range 300 {
					_, _ = ask(t, s, http.MethodPost)
				}
				if got > c.most || got < c.least {
					t.Errorf("%d of 300 requests went there", got)
				}
			})
		})
	}
}

// The time that a client takes to send its body does not count as the endpoint's latency, nor does a client that
// leaves.
func TestWhatTheClientTakesIsNoLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := balanced(road(func(r *http.Request) (*http.Response, error) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return nil, &exchange.SendError{Sent: exchange.SentPartly, Err: err}
			}
			_ = r.Body.Close()
			time.Sleep(10 * time.Millisecond) //nolint:forbidigo // of the bubble's clock
			return response(http.StatusOK, "ok"), nil
		}), balance.Settings{}, "a:1")
		latency := func() time.Duration { return s.Status().Endpoints[0].Latency.Round(time.Millisecond) }
		in, out := io.Pipe()
		go func() {
			_, _ = io.WriteString(out, "slowly")
			time.Sleep(time.Minute) //nolint:forbidigo // of the bubble's clock
			_ = out.Close()
		}()
		req, _ := request("POST", "")
		req.Body = in
		res, err := s.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if got := latency(); got != 10*time.Millisecond {
			t.Errorf("a slow body: %v", got)
		}
		req, _ = request("PUT", "")
		req.Body = io.NopCloser(readerFunc(func([]byte) (int, error) { return 0, errors.New("left") }))
		if _, err := s.RoundTrip(req); err == nil {
			t.Error("the client's body was whole")
		}
		if got := latency(); got != 10*time.Millisecond {
			t.Errorf("a body that broke: %v", got)
		}
	})
}

// If clients leave before an endpoint answers, its latency is at least as long as they waited.
func TestAnEndpointWhoseClientsLeaveIsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := balanced(road(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "a:1" {
				<-r.Context().Done()
				return nil, &exchange.SendError{Sent: exchange.SentAll, Err: r.Context().Err()}
			}
			time.Sleep(time.Millisecond) //nolint:forbidigo // of the bubble's clock
			return response(http.StatusOK, "ok"), nil
		}), balance.Settings{}, "a:1", "b:1", "c:1")
		left := 0
		for range 200 {
			req, _ := request("GET", "")
			ctx, cancel := context.WithTimeout(req.Context(), 300*time.Millisecond)
			res, err := s.RoundTrip(req.WithContext(ctx))
			if err != nil {
				left++
			} else {
				_ = res.Body.Close()
			}
			cancel()
		}
		if left > 3 {
			t.Errorf("%d of 200 clients left", left)
		}
	})
}

// A change of the way to choose does not make it another service: requests that are under way stay counted.
func TestTuningKeepsWhatIsKnown(t *testing.T) {
	s := balanced(road(func(*http.Request) (*http.Response, error) { return response(http.StatusOK, "ok"), nil }), balance.Settings{Way: balance.LeastRequests}, "a:1", "b:1")
	var open []*http.Response
	for range 10 {
		req, _ := request("GET", "")
		res, err := s.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, res)
	}
	s.Tune(service.Balance{Settings: balance.Settings{Way: balance.RoundRobin}})
	for _, e := range s.Status().Endpoints {
		if e.InFlight != 5 {
			t.Errorf("%s has %d requests in flight", e.Address, e.InFlight)
		}
	}
	for _, res := range open {
		_ = res.Body.Close()
	}
	for _, e := range s.Status().Endpoints {
		if e.InFlight != 0 {
			t.Errorf("%s has %d requests in flight", e.Address, e.InFlight)
		}
	}
}

// A request is counted as in flight when an endpoint is picked and while it pauses. However the request ends, it must
// be uncounted.
func TestNoEndLeavesARequestCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := service.New(service.Options{
			Name: "users", Log: slog.New(slog.DiscardHandler), Retry: config.Retry{Attempts: 2},
			Transport: road(func(*http.Request) (*http.Response, error) {
				return nil, &exchange.SendError{Dial: true, Refused: true, Err: errors.New("out of bounds")}
			}),
		})
		s.Set(endpoints("a:1"))
		if _, err := ask(t, s, http.MethodGet); code(err) != "backend-forbidden" {
			t.Errorf("%v", err)
		}
		req, _ := request("GET", "")
		ctx, cancel := context.WithTimeout(req.Context(), time.Millisecond)
		defer cancel()
		gone := service.New(service.Options{
			Name: "users", Log: slog.New(slog.DiscardHandler), Retry: config.Retry{Attempts: 5},
			Transport: road(func(*http.Request) (*http.Response, error) {
				return nil, &exchange.SendError{Dial: true, Err: errors.New("refused")}
			}),
		})
		gone.Set(endpoints("a:1"))
		if _, err := gone.RoundTrip(req.WithContext(ctx)); err == nil || strings.Contains(err.Error(), "backend") {
			t.Errorf("%v", err)
		}
		for _, one := range []*service.Service{s, gone} {
			if n := one.Status().Endpoints[0].InFlight; n != 0 {
				t.Errorf("%d in flight", n)
			}
		}
	})
}

// Over a real connection the status of a gRPC call is in the trailer, after its body. The endpoint's failure is seen
// there, and nothing is held back for it.
func TestTheTrailerOfARealCallIsSeen(t *testing.T) {
	var calls [2]atomic.Int64
	var list []discovery.Endpoint
	for i := range calls {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			calls[i].Add(1)
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", []string{"14", "0"}[i])
			_, _ = io.WriteString(w, "message")
		}))
		server.Config.Protocols = new(http.Protocols)
		server.Config.Protocols.SetUnencryptedHTTP2(true)
		server.Start()
		t.Cleanup(server.Close)
		list = append(list, discovery.Endpoint{Address: strings.TrimPrefix(server.URL, "http://"), Weight: 1})
	}
	connections, err := transport.New(transport.Options{Protocol: transport.GRPC})
	if err != nil {
		t.Fatal(err)
	}
	defer connections.CloseIdle()
	s := balanced(connections, balance.Settings{})
	s.Set(list)
	for range 100 {
		res, err := ask(t, s, http.MethodPost)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%v", err)
		}
	}
	if got := calls[0].Load(); got > 5 { // each failure counts for at least half a second
		t.Errorf("of 100 calls %d went to who is UNAVAILABLE", got)
	}
}
