package service_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// deaf returns n addresses that refuse connections for as long as the test lasts. They are the client ends of open
// connections, so that nothing else can listen on them meanwhile.
func deaf(t *testing.T, n int) []string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var list []string
	for range n {
		c, err := net.Dial("tcp", l.Addr().String()) //nolint:noctx // at once
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		list = append(list, c.LocalAddr().String())
	}
	return list
}

// dials counts attempts to connect, by address.
type dials struct {
	mu sync.Mutex
	n  map[string]int
}

func (d *dials) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	d.n[address]++
	d.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, network, address)
}

func (d *dials) to(addresses []string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	sum := 0
	for _, a := range addresses {
		sum += d.n[a]
	}
	return sum
}

// road makes a transport whose dials are counted.
func (d *dials) road(t *testing.T, protocol string) http.RoundTripper {
	t.Helper()
	d.n = map[string]int{}
	road, err := transport.New(transport.Options{Protocol: protocol, Dial: d.dial, Engine: config.Engine(*engine)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(road.CloseIdle)
	return road
}

// noTries is a retry budget that is always spent.
func noTries(way balance.Way) service.Balance {
	return service.Balance{Settings: balance.Settings{Way: way}, Budget: &config.Budget{}}
}

// Sources of endpoints lag behind: many of the endpoints that they report may be gone. An endpoint that refuses
// connections costs a request nothing while there is another one.
func TestWhoRefusesConnectionsIsPassedOver(t *testing.T) {
	for _, c := range []struct {
		dead, alive int
		answer      string
	}{
		{1, 1, "200"},
		{2, 1, "200"},
		{6, 1, "200"},
		{10, 1, "200"},
		{10, 40, "200"},
		{3, 0, "backend-unreachable"},
	} {
		for _, protocol := range []string{transport.HTTP, transport.H2C} {
			for _, way := range []balance.Way{balance.PeakEWMA, balance.RoundRobin, balance.Random} {
				t.Run(fmt.Sprintf("%d of %d, %s by %s", c.dead, c.dead+c.alive, protocol, way), func(t *testing.T) {
					var d dials
					list := deaf(t, c.dead)
					for range c.alive {
						b := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
						b.Config.Protocols = new(http.Protocols)
						b.Config.Protocols.SetHTTP1(true)
						b.Config.Protocols.SetUnencryptedHTTP2(true)
						b.Start()
						t.Cleanup(b.Close)
						list = append(list, b.Listener.Addr().String())
					}
					s := with(d.road(t, protocol), noTries(way), config.Retry{Attempts: 1}, list...)
					defer s.Close()
					begun := time.Now()
					for i := range 20 {
						req, x := request([]string{http.MethodGet, http.MethodPost}[i%2], "payload")
						if got := answerOf(s.RoundTrip(req)); got != c.answer {
							t.Fatalf("request %d: %s after %d attempts", i, got, len(x.Attempts))
						}
						if most := min(c.dead, 11) + min(c.alive, 1); len(x.Attempts) > most {
							t.Errorf("request %d: %d attempts", i, len(x.Attempts))
						}
					}
					// On a slow machine the endpoints are tried again meanwhile, each once in a tenth of a second.
					again := int(time.Since(begun) / (100 * time.Millisecond))
					if n := d.to(list[:c.dead]); c.alive > 0 && n > (2+again)*c.dead {
						t.Errorf("those that refuse connections were wanted %d times", n)
					}
				})
			}
		}
	}
}

func TestWithoutFurtherTriesNobodyIsPassedOver(t *testing.T) {
	var d dials
	s := with(d.road(t, transport.HTTP), noTries(balance.RoundRobin), config.Retry{}, deaf(t, 3)...)
	defer s.Close()
	req, x := request(http.MethodGet, "")
	if got := answerOf(s.RoundTrip(req)); got != "backend-unreachable" || len(x.Attempts) != 1 {
		t.Errorf("%s after %d attempts", got, len(x.Attempts))
	}
}

// If the next list of endpoints may help, the request is sent to an endpoint of that list, and not once more to one
// of the old list.
func TestWhoAppearsMeanwhileIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackends()
		b.broken["a:1"], b.broken["b:1"] = unmade, unmade
		s := with(b, service.Balance{Settings: balance.Settings{Way: balance.RoundRobin}}, config.Retry{Attempts: 1}, "a:1", "b:1")
		defer s.Close()
		go func() {
			time.Sleep(time.Millisecond) //nolint:forbidigo // virtual
			s.Set(endpoints("a:1", "b:1", "c:1"))
		}()
		begun := time.Now()
		if got := get(s, 1); got != "[200:1]" || time.Since(begun) != time.Millisecond {
			t.Errorf("%s after %s", got, time.Since(begun))
		}
		if asked := b.since(); asked != "[a:1:1 b:1:1 c:1:1]" {
			t.Error(asked)
		}
	})
}

// A kept connection that was closed before anything was sent on it does not make a request fail, whatever its method.
func TestAKeptConnectionThatWasClosedCostsNothing(t *testing.T) {
	for _, c := range []struct {
		sent   exchange.Sent
		answer string
	}{{exchange.SentNothing, "200"}, {exchange.SentPartly, "backend-reset"}} {
		b := newBackends()
		b.broken["a:1"] = &exchange.SendError{Reused: true, Sent: c.sent, Err: io.ErrUnexpectedEOF}
		s := with(b, noTries(balance.RoundRobin), config.Retry{Attempts: 1}, "a:1", "b:1")
		seen := map[string]bool{}
		for range 2 {
			req, _ := request(http.MethodPost, "order")
			seen[answerOf(s.RoundTrip(req))] = true
		}
		if len(seen) == 0 || !seen[c.answer] || c.answer == "200" && len(seen) > 1 {
			t.Errorf("%s: got %v, want %s", c.sent, seen, c.answer)
		}
		s.Close()
	}
}

var unmade = &exchange.SendError{Dial: true, Err: io.ErrClosedPipe}

// One request in a tenth of a second finds out whether an endpoint that refused a connection accepts one again.
func TestWhoRefusedAConnectionIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackends()
		s := with(b, noTries(balance.RoundRobin), config.Retry{Attempts: 1}, "a:1", "b:1")
		defer s.Close()
		b.broken["a:1"] = unmade
		for i := range 5 {
			if got, asked := get(s, 100), b.since(); got != "[200:100]" || asked != "[a:1:1 b:1:100]" {
				t.Errorf("%d: %s by %s", i, got, asked)
			}
			time.Sleep(100 * time.Millisecond) //nolint:forbidigo // virtual
		}
		b.set(func() { delete(b.broken, "a:1") })
		if got, asked := get(s, 100), b.since(); got != "[200:100]" || asked != "[a:1:50 b:1:50]" {
			t.Errorf("%s by %s", got, asked)
		}
	})
}
