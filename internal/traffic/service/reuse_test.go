package service_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/poison"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// Although attempts are reused, each request gets its own answer. The test uses real connections, and lasts long
// enough for the client to look at the contexts of requests several times.
func TestRequestsThatUseTheSameMemoryAreAnsweredEachForItself(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%s %s %s %s %s", r.Method, r.Host, r.URL, r.Header.Get("X-Of"), content)
	}))
	defer backend.Close()
	connections, err := transport.New(transport.Options{Engine: config.Engine(*engine)})
	if err != nil {
		t.Fatal(err)
	}
	defer connections.CloseIdle()
	s := service.New(service.Options{Name: "users", Transport: connections, Timeouts: config.Timeouts{Head: time.Minute}})
	defer s.Close()
	s.Set([]discovery.Endpoint{{Address: backend.Listener.Addr().String(), Weight: 1}})
	var clients sync.WaitGroup
	var mu sync.Mutex
	seen, all := map[*http.Request]bool{}, 0
	for client := range 4 {
		clients.Go(func() {
			for i, begin := 0, time.Now(); time.Since(begin) < 500*time.Millisecond; i++ {
				res, want := askWith(t, s, client, i)
				if res == nil {
					return
				}
				got, err := io.ReadAll(res.Body)
				if err != nil || string(got) != want {
					t.Errorf("%q, %v, want %q", got, err, want)
					return
				}
				mu.Lock()
				seen[res.Request], all = true, all+1
				mu.Unlock()
				_ = res.Body.Close()
				exchange.Release(res)
			}
		})
	}
	clients.Wait()
	for _, e := range s.Status().Endpoints {
		if e.InFlight != 0 {
			t.Errorf("%d are under way", e.InFlight)
		}
	}
	if *engine == string(config.OwnEngine) && !poison.On && len(seen) > all*3/4 {
		t.Errorf("%d requests took the memory of %d", all, len(seen))
	}
}

// askWith sends a client's i-th request. Every third request has content, and every fourth a host of its own.
func askWith(t *testing.T, s *service.Service, client, i int) (res *http.Response, want string) {
	t.Helper()
	method, content, host, path, of := http.MethodGet, "", "weir", fmt.Sprintf("/%d/%d?q=%d", client, i, i), fmt.Sprint(client, "-", i)
	var body io.Reader = http.NoBody
	if i%3 == 0 {
		method, content = http.MethodPost, strings.Repeat("x", i%50+1)
		body = strings.NewReader(content)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://weir"+path, body)
	if err != nil {
		t.Error(err)
		return nil, ""
	}
	if i%4 == 0 {
		host = "other.example"
	}
	if i%6 == 0 {
		req.GetBody = nil // the content is read only once
	}
	req.Host, req.Header = host, exchange.Ordered("X-Of", of)
	if res, err = s.RoundTrip(exchange.With(req, &exchange.Exchange{})); err != nil {
		t.Error(err)
		return nil, ""
	}
	return res, strings.Join([]string{method, host, path, of, content}, " ")
}

// An attempt may reuse memory of one whose answer arrived whole with its head and was judged with it. It waits for
// the end of its own answer all the same, whether or not its request is the trial of a breaker.
func TestAnAnswerThatBreaksOffCountsWhateverTheMemoryOfItsAttemptHadBefore(t *testing.T) {
	if *engine != string(config.OwnEngine) || poison.On {
		t.Skip("no attempt is used again")
	}
	backends := []string{breaking(t), breaking(t)} // two, because the last one is never ejected
	connections, err := transport.New(transport.Options{Engine: config.OwnEngine})
	if err != nil {
		t.Fatal(err)
	}
	defer connections.CloseIdle()
	for name, before := range map[string]int{"a request": http.StatusOK, "a trial": http.StatusServiceUnavailable} {
		t.Run(name, func(t *testing.T) {
			const tries = 1000 // under the race detector, pools drop some things
			for range tries {
				if breaksOff(t, connections, backends, before) {
					return
				}
			}
			t.Error("no attempt was used again")
		})
	}
}

// breaking returns the address of a backend that answers with the status in the path, and breaks its answer off if
// that is 206.
func breaking(t *testing.T) (address string) {
	t.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, _ := strconv.Atoi(path.Base(r.URL.Path))
		if status != http.StatusPartialContent {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "whole")
			return
		}
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "the beginning")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(backend.Close)
	return backend.Listener.Addr().String()
}

// breaksOff sends requests that are answered whole, and then one whose answer breaks off. The last of the whole
// answers has status before, which opens the breaker if it counts as a failure. It returns whether the broken request
// reused the attempt of the previous one.
func breaksOff(t *testing.T, connections http.RoundTripper, backends []string, before int) (again bool) {
	t.Helper()
	s := service.New(service.Options{
		Name: "users", Transport: connections, Timeouts: config.Timeouts{Head: time.Minute}, Log: quiet(),
		Selection: service.Selection{Outlier: config.Outlier{Failures: 1, Eject: time.Hour, Longest: time.Hour, Share: 100}},
		Balance: service.Balance{
			Settings: balance.Settings{Way: balance.RoundRobin},
			Breaker:  &config.Breaker{Failures: 1, Window: time.Minute, Least: 1, Pause: time.Millisecond},
		},
	})
	defer s.Close()
	s.Set(endpoints(backends...))
	var used *http.Request
	for _, status := range []int{http.StatusOK, http.StatusOK, before} { // an attempt that has dialled is not reused
		res := askFor(t, s, status)
		whole, ok := res.Body.(interface{ Whole() bool })
		if content, err := io.ReadAll(res.Body); err != nil || string(content) != "whole" || !ok {
			t.Fatalf("%q, %v, of a %T", content, err, res.Body)
		}
		used = nil
		if whole.Whole() {
			used = res.Request
		}
		_ = res.Body.Close()
		exchange.Release(res)
	}
	res := askFor(t, s, http.StatusPartialContent)
	again = res.Request == used
	if _, err := io.ReadAll(res.Body); err == nil {
		t.Fatal("the answer did not break off")
	}
	_ = res.Body.Close()
	now, ejected := s.Status(), 0
	for _, e := range now.Endpoints {
		if e.State == service.Ejected && strings.Contains(e.Why, "the answer broke off") {
			ejected++
		}
	}
	if ejected != 1 || !now.Resting {
		t.Fatalf("the memory was used before: %t; %d endpoints are ejected, the breaker is open: %t", again, ejected, now.Resting)
	}
	exchange.Discard(askFor(t, s, http.StatusOK)) // the next request may be the trial
	return again
}

// askFor requests an answer with a status as soon as the breaker of s lets a request through.
func askFor(t *testing.T, s *service.Service, status int) *http.Response {
	t.Helper()
	for began := time.Now(); time.Since(began) < 10*time.Second; runtime.Gosched() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprint("http://weir/", status), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		switch res, err := s.RoundTrip(req); {
		case err == nil:
			return res
		case code(err) != "breaker-open":
			t.Fatal(err)
		}
	}
	t.Fatal("the breaker lets none try")
	return nil
}
