package service_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/poison"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// Over real connections, and for so long that the client looks at the contexts of requests several times, each request is
// answered for itself, though attempts are used again.
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

// askWith sends the i-th request of a client; every third one has content, and every fourth a host of its own.
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
		req.GetBody = nil // it comes as it is read
	}
	req.Host, req.Header = host, exchange.Ordered("X-Of", of)
	if res, err = s.RoundTrip(exchange.With(req, &exchange.Exchange{})); err != nil {
		t.Error(err)
		return nil, ""
	}
	return res, strings.Join([]string{method, host, path, of, content}, " ")
}
