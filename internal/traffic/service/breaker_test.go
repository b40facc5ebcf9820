package service_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
)

func with(r http.RoundTripper, by service.Balance, retry config.Retry, addresses ...string) *service.Service {
	s := service.New(service.Options{Name: "users", Transport: r, Retry: retry, Balance: by, Log: slog.New(slog.DiscardHandler)})
	s.Set(endpoints(addresses...))
	return s
}

func retryAfter(err error) time.Duration {
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		return f.RetryAfter
	}
	return 0
}

func TestABreakerOpensAndLetsOneTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sick, asked := true, 0
		s := with(road(func(*http.Request) (*http.Response, error) {
			if asked++; sick {
				return response(http.StatusServiceUnavailable, ""), nil
			}
			return response(http.StatusOK, "ok"), nil
		}), service.Balance{Breaker: &config.Breaker{Failures: 50, Window: 10 * time.Second, Least: 20, Pause: 5 * time.Second}}, config.Retry{}, "a:1", "b:1")
		for range 19 {
			if _, err := ask(t, s, http.MethodGet); err != nil {
				t.Fatalf("it opened too early: %v", err)
			}
		}
		_, _ = ask(t, s, http.MethodGet)
		pauses := []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second}
		for i, pause := range pauses {
			asked = 0
			for range 3 {
				if _, err := ask(t, s, http.MethodGet); code(err) != "breaker-open" || retryAfter(err) != pause {
					t.Fatalf("pause %d: %v, come back after %v", i, err, retryAfter(err))
				}
			}
			if asked != 0 || !s.Status().Resting {
				t.Errorf("pause %d: the service was asked %d times", i, asked)
			}
			time.Sleep(pause) //nolint:forbidigo // of the bubble's clock
			if sick = i < len(pauses)-1; !sick {
				break
			}
			if _, err := ask(t, s, http.MethodGet); err != nil || asked != 1 {
				t.Fatalf("the one that tries: %v, asked %d times", err, asked)
			}
		}
		for range 100 {
			if res, err := ask(t, s, http.MethodGet); err != nil || res.StatusCode != http.StatusOK {
				t.Fatalf("it is well again: %v", err)
			}
		}
		sick = true
		for range 90 { // of 190 in the window, of which 100 succeeded
			if _, err := ask(t, s, http.MethodGet); err != nil {
				t.Fatalf("it opened below half: %v", err)
			}
		}
	})
}

// A client that leaves during its trial says nothing about the backend, and another request is the trial.
func TestTheOneThatTriesMayLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hang atomic.Bool
		sick := true
		s := with(road(func(r *http.Request) (*http.Response, error) {
			if hang.Load() {
				<-r.Context().Done()
				return nil, &exchange.SendError{Sent: exchange.SentAll, Err: r.Context().Err()}
			}
			if sick {
				return nil, &exchange.SendError{Dial: true, Err: errors.New("refused")}
			}
			return response(http.StatusOK, "ok"), nil
		}), service.Balance{Breaker: &config.Breaker{Failures: 50, Window: 10 * time.Second, Least: 1, Pause: time.Second}}, config.Retry{}, "a:1")
		_, _ = ask(t, s, http.MethodGet)
		time.Sleep(time.Second) //nolint:forbidigo // of the bubble's clock
		hang.Store(true)
		req, _ := request("GET", "")
		ctx, cancel := context.WithTimeout(req.Context(), time.Second)
		defer cancel()
		var wait sync.WaitGroup
		wait.Go(func() { _, _ = s.RoundTrip(req.WithContext(ctx)) })
		synctest.Wait()
		if _, err := ask(t, s, http.MethodGet); code(err) != "breaker-open" {
			t.Errorf("two try at once: %v", err)
		}
		wait.Wait()
		hang.Store(false)
		sick = false
		for range 3 {
			if _, err := ask(t, s, http.MethodGet); err != nil {
				t.Errorf("%v", err)
			}
		}
	})
}

func TestSwitchingTheBreakerOffClosesIt(t *testing.T) {
	s := with(road(func(*http.Request) (*http.Response, error) { return response(http.StatusBadGateway, ""), nil }),
		service.Balance{Breaker: &config.Breaker{Failures: 50, Window: 10 * time.Second, Least: 1, Pause: time.Minute}}, config.Retry{}, "a:1")
	_, _ = ask(t, s, http.MethodGet)
	if _, err := ask(t, s, http.MethodGet); code(err) != "breaker-open" {
		t.Fatalf("%v", err)
	}
	s.Tune(service.Balance{})
	if _, err := ask(t, s, http.MethodGet); err != nil {
		t.Errorf("%v", err)
	}
}

// bounded answers when the test lets it, and counts how many requests it has at once.
type bounded struct {
	let      chan struct{}
	now, top atomic.Int64
}

func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	n := b.now.Add(1)
	for top := b.top.Load(); n > top && !b.top.CompareAndSwap(top, n); top = b.top.Load() {
	}
	defer b.now.Add(-1)
	select {
	case <-b.let:
	case <-r.Context().Done():
		return nil, &exchange.SendError{Sent: exchange.SentAll, Err: r.Context().Err()}
	}
	return response(http.StatusOK, "ok"), nil
}

func TestBoundsMakeRequestsWait(t *testing.T) {
	for name, c := range map[string]struct {
		by   service.Balance
		most int64
	}{
		"of the service": {service.Balance{Settings: balance.Settings{Most: 4}}, 4},
		"of endpoints":   {service.Balance{Settings: balance.Settings{InFlight: 3}}, 6},
		"of hashes":      {service.Balance{Settings: balance.Settings{Way: balance.Hash, InFlight: 2, Bound: 1.5}, Key: func(*http.Request) (string, error) { return "k", nil }}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &bounded{let: make(chan struct{})}
				c.by.Breaker = &config.Breaker{Pending: 5, Wait: time.Second}
				s := with(b, c.by, config.Retry{Attempts: 2}, "a:1", "b:1")
				var mu sync.Mutex
				got := map[string]int{}
				var wait sync.WaitGroup
				for range 15 {
					wait.Go(func() {
						_, err := ask(t, s, http.MethodGet)
						mu.Lock()
						got[code(err)]++
						mu.Unlock()
					})
				}
				synctest.Wait()
				if n := s.Status().Queued; n != 5 || b.now.Load() != c.most {
					t.Errorf("%d wait, %d are under way", n, b.now.Load())
				}
				for range 3 {
					b.let <- struct{}{}
					synctest.Wait()
				}
				if n := s.Status().Queued; n != 2 || b.now.Load() != c.most {
					t.Errorf("three ended: %d wait, %d are under way", n, b.now.Load())
				}
				time.Sleep(time.Second) //nolint:forbidigo // of the bubble's clock
				synctest.Wait()
				close(b.let)
				wait.Wait()
				if served := int(c.most) + 3; got[""] != served || got["backend-busy"] != 15-served || b.top.Load() != c.most {
					t.Errorf("%v, at most %d at once", got, b.top.Load())
				}
				if status := s.Status(); status.Queued != 0 || slices.ContainsFunc(status.Endpoints, func(e service.EndpointStatus) bool { return e.InFlight != 0 }) {
					t.Errorf("%+v", status)
				}
			})
		})
	}
}

// A waiting request is sent when other endpoints bring more room, and gives up when its client leaves.
func TestWaitingEndsOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bounded{let: make(chan struct{})}
		s := with(b, service.Balance{Settings: balance.Settings{InFlight: 1}, Breaker: &config.Breaker{Pending: 5, Wait: time.Hour}}, config.Retry{}, "a:1")
		var wait sync.WaitGroup
		left, cancel := context.WithCancel(context.Background())
		for i := range 3 {
			wait.Go(func() {
				req, x := request("GET", "")
				if i == 2 {
					req = exchange.With(req.WithContext(left), x)
				}
				res, err := s.RoundTrip(req)
				if err == nil {
					_ = res.Body.Close()
				}
				if (err != nil) != (i == 2) {
					t.Errorf("%d: %v", i, err)
				}
			})
			synctest.Wait()
		}
		if n := s.Status().Queued; n != 2 {
			t.Fatalf("%d wait", n)
		}
		s.Set(endpoints("a:1", "b:1"))
		synctest.Wait()
		if n := s.Status().Queued; n != 1 || b.now.Load() != 2 {
			t.Errorf("%d wait, %d are under way", n, b.now.Load())
		}
		cancel()
		synctest.Wait()
		if n := s.Status().Queued; n != 0 {
			t.Errorf("%d wait", n)
		}
		close(b.let)
		wait.Wait()
	})
}

// TestWhoWaitsForRoomIsServedAfterAnEmptySet checks requests in the queue of a service whose endpoints all vanish:
// they wait for an endpoint then, and may have to wait for room at it again.
func TestWhoWaitsForRoomIsServedAfterAnEmptySet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bounded{let: make(chan struct{})}
		s := with(b, service.Balance{Settings: balance.Settings{InFlight: 1}, Breaker: &config.Breaker{Pending: 10, Wait: time.Hour}}, config.Retry{}, "a:1")
		s.Select(service.Selection{Hold: config.Hold{Time: time.Hour, Requests: 10}, Panic: 50})
		var wait sync.WaitGroup
		var served atomic.Int32
		for i := range 6 {
			if i == 4 { // the last ones come while there is no endpoint
				s.Set(nil)
				synctest.Wait()
			}
			wait.Go(func() {
				req, _ := request("GET", "")
				res, err := s.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return
				}
				_ = res.Body.Close()
				served.Add(1)
			})
			synctest.Wait()
		}
		s.Set(endpoints("b:1"))
		synctest.Wait()
		began := time.Now()
		for served.Load() < 6 {
			before := served.Load()
			select {
			case b.let <- struct{}{}:
			case <-time.After(time.Minute):
				t.Fatalf("%d are served, and nobody is asked", before)
			}
			synctest.Wait()
		}
		wait.Wait()
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %s", took)
		}
	})
}

// TestALineWhoseBoundIsTakenAwayIsAnswered checks that a change of the config makes no waiting request fail.
func TestALineWhoseBoundIsTakenAwayIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bounded{let: make(chan struct{})}
		s := with(b, service.Balance{Settings: balance.Settings{InFlight: 1}, Breaker: &config.Breaker{Pending: 10, Wait: time.Hour}}, config.Retry{}, "a:1")
		var wait sync.WaitGroup
		for i := range 8 {
			if i == 5 {
				s.Tune(service.Balance{})
			}
			wait.Go(func() {
				req, _ := request("GET", "")
				res, err := s.RoundTrip(req)
				if err != nil {
					t.Error(err)
					return
				}
				_ = res.Body.Close()
			})
			if i < 5 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		close(b.let)
		wait.Wait()
	})
}

func TestTheBudgetBoundsFurtherTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		s := with(road(func(*http.Request) (*http.Response, error) {
			tries++
			return nil, &exchange.SendError{Sent: exchange.SentAll, Err: errors.New("reset")}
		}), service.Balance{Budget: &config.Budget{Share: 20, Least: 1}}, config.Retry{Attempts: 3}, "a:1", "b:1", "c:1", "d:1")
		const requests = 1000
		for range requests {
			if _, err := ask(t, s, http.MethodGet); code(err) != "backend-reset" {
				t.Fatalf("%v", err)
			}
		}
		if again := tries - requests; again < 195 || again > 210 {
			t.Errorf("%d further tries of %d requests", again, requests)
		}
		time.Sleep(time.Minute) //nolint:forbidigo // of the bubble's clock
		tries = 0
		_, _ = ask(t, s, http.MethodGet)
		if tries != 4 {
			t.Errorf("a minute later one request has %d tries", tries)
		}
		s.Tune(service.Balance{Budget: &config.Budget{Share: config.NoBudget}})
		tries = 0
		for range 100 {
			_, _ = ask(t, s, http.MethodGet)
		}
		if tries != 400 {
			t.Errorf("without a budget 100 requests have %d tries", tries)
		}
	})
}
