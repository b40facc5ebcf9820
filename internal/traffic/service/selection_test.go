package service_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/health"
	"github.com/weir-gateway/weir/internal/traffic/service"
	"github.com/weir-gateway/weir/internal/traffic/service/balance"
)

// backends stand in for endpoints, by address: they answer requests and checks.
type backends struct {
	mu     sync.Mutex
	status map[string]int   // of requests; 200 if not set
	broken map[string]error // of requests
	sick   map[string]error // of checks
	asked  []string         // by requests
}

func newBackends() *backends {
	return &backends{status: map[string]int{}, broken: map[string]error{}, sick: map[string]error{}}
}

func (b *backends) RoundTrip(r *http.Request) (*http.Response, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, r.URL.Host)
	if err := b.broken[r.URL.Host]; err != nil {
		return nil, err
	}
	status := b.status[r.URL.Host]
	if status == 0 {
		status = 200
	}
	res := response(status, "ok")
	if status == 14 { // gRPC's UNAVAILABLE
		res.StatusCode, res.ProtoMajor = 200, 2
		res.Header.Set("Content-Type", "application/grpc")
		res.Header.Set("Grpc-Status", "14")
	}
	return res, nil
}

func (b *backends) Connect(_ context.Context, host string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sick[host]
}

func (b *backends) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

// since returns which addresses were asked since the last call, sorted by name.
func (b *backends) since() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	counts := map[string]int{}
	for _, a := range b.asked {
		counts[a]++
	}
	b.asked = nil
	return strings.TrimPrefix(fmt.Sprint(counts), "map")
}

// names returns the addresses that were asked.
func (b *backends) names() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := slices.Clone(b.asked)
	slices.Sort(list)
	return strings.Join(slices.Compact(list), " ")
}

var errSick = errors.New("sick")

func tcpCheck() *health.Check {
	c := &health.Check{Health: config.DefaultHealth()}
	c.Check = config.CheckTCP
	return c
}

// inTurn uses round robin, because the default way avoids endpoints that fail.
var inTurn = service.Balance{Settings: balance.Settings{Way: balance.RoundRobin}}

// selected makes a service with these rules.
func selected(b *backends, rules service.Selection, log *slog.Logger) *service.Service {
	rules.Caller = b
	return service.New(service.Options{Name: "users", Transport: b, Retry: config.Retry{Attempts: 2}, Balance: inTurn, Selection: rules, Log: log})
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// get sends n requests one after the other and returns how many had which status or code.
func get(s *service.Service, n int) string {
	got := map[string]int{}
	for range n {
		req, _ := request(http.MethodGet, "")
		got[answerOf(s.RoundTrip(req))]++
	}
	return strings.TrimPrefix(fmt.Sprint(got), "map")
}

func answerOf(res *http.Response, err error) string {
	if err != nil {
		if c := code(err); c != "" {
			return c
		}
		return err.Error()
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return fmt.Sprint(res.StatusCode)
}

func states(s *service.Service) string {
	status := s.Status()
	list := make([]string, 0, len(status.Endpoints)+1)
	for _, e := range status.Endpoints {
		list = append(list, fmt.Sprintf("%s %s", e.Address, e.State))
	}
	return strings.Join(append(list, "asks "+string(status.Asks)), ", ")
}

func conditions(at ...discovery.Condition) []discovery.Endpoint {
	var list []discovery.Endpoint
	for i, c := range at {
		list = append(list, discovery.Endpoint{Address: fmt.Sprintf("%c:1", 'a'+i), Weight: 1, Condition: c})
	}
	return list
}

// The order in which a service falls back to other endpoints.
func TestWhoIsAsked(t *testing.T) {
	const ready, draining, notReady = discovery.Ready, discovery.Draining, discovery.NotReady
	for name, c := range map[string]struct {
		list   []discovery.Endpoint
		sick   []string
		panics int
		asked  string // those that got some of 300 requests
		mode   service.Mode
	}{
		"those that are ready":                             {conditions(ready, draining, ready, notReady), nil, 50, "a c", service.AsksHealthy},
		"those that are ready and healthy":                 {conditions(ready, ready, ready), []string{"b:1"}, 50, "a c", service.AsksHealthy},
		"half of them is enough":                           {conditions(ready, ready), []string{"b:1"}, 50, "a", service.AsksHealthy},
		"those that drain, where nobody is ready":          {conditions(draining, notReady, draining), nil, 50, "a c", service.AsksDraining},
		"those that drain rather than those that are sick": {conditions(ready, draining), []string{"a:1"}, 50, "b", service.AsksDraining},
		"all, where most are sick that were well":          {conditions(ready, ready, ready), []string{"b:1", "c:1"}, 50, "a b c", service.AsksPanicked},
		"one of three, where that may be":                  {conditions(ready, ready, ready), []string{"b:1", "c:1"}, 33, "a", service.AsksHealthy},
		"one of three, where nobody panics":                {conditions(ready, ready, ready), []string{"b:1", "c:1"}, 0, "a", service.AsksHealthy},
		"all, where all are sick":                          {conditions(ready, ready, notReady), []string{"a:1", "b:1"}, 1, "a b", service.AsksPanicked},
		"nobody, where all are sick and nobody panics":     {conditions(ready, ready), []string{"a:1", "b:1"}, 0, "", service.AsksNobody},
		"nobody, where none is ready":                      {conditions(notReady), nil, 50, "", service.AsksNobody},
		"nobody of no weight":                              {[]discovery.Endpoint{{Address: "a:1"}, {Address: "b:1", Weight: 1}}, nil, 50, "b", service.AsksHealthy},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, checkers := newBackends(), health.NewCheckers(0, nil)
			defer checkers.Close()
			s := selected(b, service.Selection{Check: tcpCheck(), Checkers: checkers, Panic: c.panics}, quiet())
			defer s.Close()
			s.Set(c.list)
			time.Sleep(time.Second) //nolint:forbidigo // virtual: all are healthy first
			b.set(func() {
				for _, a := range c.sick {
					b.sick[a] = errSick
				}
			})
			time.Sleep(10 * time.Second) //nolint:forbidigo // virtual
			synctest.Wait()
			get(s, 300)
			asked := strings.NewReplacer(":1", "").Replace(b.names())
			if asked != c.asked {
				t.Errorf("%s: asked were %q, want %q", name, asked, c.asked)
			}
			if got := s.Status().Asks; got != c.mode {
				t.Errorf("%s: asks %s, want %s (%s)", name, got, c.mode, states(s))
			}
		})
	}
}

// TestAnEndpointThatIsSickGetsNothingAndIsTakenBack follows the life of one endpoint with a check.
func TestAnEndpointThatIsSickGetsNothingAndIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, checkers := newBackends(), health.NewCheckers(0, nil)
		defer checkers.Close()
		var log bytes.Buffer
		s := selected(b, service.Selection{Check: tcpCheck(), Checkers: checkers, Panic: 50, Hold: *config.DefaultHold()}, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			},
		})))
		defer s.Close()
		s.Set(endpoints("a:1", "b:1"))
		synctest.Wait()
		if got := states(s); got != "a:1 healthy, b:1 healthy, asks healthy" {
			t.Errorf("when checks were answered: %s", got)
		}
		b.set(func() { b.sick["b:1"] = errSick })
		time.Sleep(8 * time.Second) //nolint:forbidigo // virtual
		if got := states(s); got != "a:1 healthy, b:1 unhealthy, asks healthy" {
			t.Errorf("when one is sick: %s", got)
		}
		if why := s.Status().Endpoints[1].Why; why != "sick" {
			t.Errorf("the reason is %q", why)
		}
		get(s, 50)
		if got := b.since(); got != "[a:1:50]" {
			t.Errorf("asked were %s", got)
		}
		b.set(func() { delete(b.sick, "b:1") })
		time.Sleep(8 * time.Second) //nolint:forbidigo // virtual
		get(s, 50)
		if got := states(s); got != "a:1 healthy, b:1 healthy, asks healthy" || !strings.Contains(b.since(), "b:1") {
			t.Errorf("when it is well again: %s", got)
		}
		s.Set(endpoints("a:1"))
		want := `level=WARN msg="endpoint is unhealthy" endpoint=b:1 id="" was=healthy why=sick
level=INFO msg="endpoint is healthy" endpoint=b:1 id="" was=unhealthy
level=INFO msg="endpoint is gone" endpoint=b:1 id="" was=healthy in_flight=0
`
		if got := log.String(); !strings.HasSuffix(got, want) {
			t.Errorf("the log is\n%s\nwant it to end with\n%s", got, want)
		}
	})
}

// An endpoint that is added later gets requests only after its first check has succeeded, even if most endpoints are
// still starting.
func TestANewEndpointIsNotAskedBeforeItsFirstCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, checkers := newBackends(), health.NewCheckers(0, nil)
		defer checkers.Close()
		s := selected(b, service.Selection{Check: tcpCheck(), Checkers: checkers, Panic: 50}, quiet())
		defer s.Close()
		s.Set(endpoints("a:1"))
		synctest.Wait()
		b.set(func() { b.sick["b:1"], b.sick["c:1"], b.sick["d:1"] = errSick, errSick, errSick })
		s.Set(endpoints("a:1", "b:1", "c:1", "d:1"))
		for range 40 {
			time.Sleep(500 * time.Millisecond) //nolint:forbidigo // virtual
			get(s, 10)
		}
		if got := b.since(); got != "[a:1:400]" {
			t.Errorf("asked were %s (%s)", got, states(s))
		}
		b.set(func() { delete(b.sick, "c:1") })
		time.Sleep(600 * time.Millisecond) //nolint:forbidigo // virtual: it is asked fast
		if got := states(s); got != "a:1 healthy, b:1 unhealthy, c:1 healthy, d:1 unhealthy, asks healthy" {
			t.Error(got)
		}
	})
}

func TestRequestsWaitForTheFirstCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, checkers := newBackends(), health.NewCheckers(0, nil)
		defer checkers.Close()
		b.sick["a:1"] = errSick
		s := selected(b, service.Selection{Check: tcpCheck(), Checkers: checkers, Panic: 50, Hold: config.Hold{Time: 10 * time.Second, Requests: 10}}, quiet())
		defer s.Close()
		s.Set(endpoints("a:1"))
		begin := time.Now()
		if got := get(s, 1); got != "[200:1]" {
			t.Error(got)
		}
		// After three checks the endpoint is known to be sick, and there is no other.
		if took := time.Since(begin); took < 800*time.Millisecond || took > 1300*time.Millisecond {
			t.Errorf("it took %s", took)
		}
		if got := states(s); got != "a:1 unhealthy, asks panic" {
			t.Error(got)
		}
	})
}

// A new or changed check takes no endpoint out before it has a result.
func TestAnotherCheckChangesNothingByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, checkers := newBackends(), health.NewCheckers(0, nil)
		defer checkers.Close()
		s := selected(b, service.Selection{}, quiet())
		defer s.Close()
		s.Set(endpoints("a:1", "b:1"))
		b.set(func() { b.sick["b:1"] = errSick })
		rules := service.Selection{Check: tcpCheck(), Checkers: checkers, Caller: b, Panic: 50}
		s.Select(rules)
		if got := states(s); got != "a:1 healthy, b:1 healthy, asks healthy" {
			t.Error(got)
		}
		time.Sleep(2 * time.Second) //nolint:forbidigo // virtual
		if got := states(s); got != "a:1 healthy, b:1 unhealthy, asks healthy" {
			t.Error(got)
		}
		before := s.Status().Endpoints[0].Checked
		rules.Panic = 40
		s.Select(rules)
		if got := s.Status().Endpoints[0].Checked; !got.Equal(before) {
			t.Errorf("the same check began anew")
		}
		s.Select(service.Selection{})
		if got := states(s); got != "a:1 healthy, b:1 healthy, asks healthy" {
			t.Errorf("without checks: %s", got)
		}
	})
}

func outlier(change func(*config.Outlier)) service.Selection {
	rules := service.Selection{Outlier: *config.DefaultOutlier(), Panic: 50}
	change(&rules.Outlier)
	return rules
}

// What counts as a failure of an endpoint, and what does not.
func TestWhatEjects(t *testing.T) {
	dial := &exchange.SendError{Dial: true, Err: errors.New("connection refused")}
	for name, c := range map[string]struct {
		status int
		err    error
		why    string // "": it does not eject
	}{
		"status 503":              {503, nil, "5 failures in a row: status 503"},
		"status 500":              {500, nil, ""},
		"status 404":              {404, nil, ""},
		"gRPC's UNAVAILABLE":      {14, nil, "5 failures in a row: gRPC status UNAVAILABLE"},
		"no connection":           {0, dial, "5 failures in a row: connection refused"},
		"a broken one":            {0, &exchange.SendError{Sent: exchange.SentAll, Err: io.EOF}, "5 failures in a row: EOF"},
		"a time-out":              {0, &exchange.SendError{Sent: exchange.SentAll, Timeout: true, Err: errors.New("late")}, "5 failures in a row: late"},
		"no HTTP":                 {0, fault.BackendInvalid.New(""), "5 failures in a row: The backend's response was not valid."},
		"an idle one that closed": {0, &exchange.SendError{Reused: true, Err: io.EOF}, ""},
		"GOAWAY":                  {0, &exchange.SendError{GoAway: true, Err: io.EOF}, ""},
		"out of bounds":           {0, &exchange.SendError{Dial: true, Refused: true, Err: io.EOF}, ""},
		"anything else":           {0, io.ErrNoProgress, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBackends()
			b.status["a:1"], b.broken["a:1"] = c.status, c.err
			s := selected(b, outlier(func(*config.Outlier) {}), quiet())
			defer s.Close()
			s.Set(endpoints("a:1", "b:1"))
			for i := 0; i < 5 && s.Status().Endpoints[0].State == service.Healthy; i++ {
				time.Sleep(100 * time.Millisecond) //nolint:forbidigo // virtual; who takes no connection is passed over for that long
				get(s, 20)
			}
			e := s.Status().Endpoints[0]
			want := service.Healthy
			if c.why != "" {
				want = service.Ejected
			}
			if e.State != want || e.Why != c.why || e.Asked != (c.why == "") {
				t.Errorf("%s: %s (%q), asked %v; want %s (%q)", name, e.State, e.Why, e.Asked, want, c.why)
			}
			if c.why != "" && !e.Ejected.Equal(time.Now().Add(30*time.Second)) {
				t.Errorf("%s: until %s", name, e.Ejected)
			}
		})
	}
}

// A client that ends its own request says nothing about the endpoint.
func TestAClientThatLeavesEjectsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := service.New(service.Options{Name: "users", Balance: inTurn, Log: quiet(), Selection: outlier(func(*config.Outlier) {}), Transport: road(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, &exchange.SendError{Sent: exchange.SentAll, Err: r.Context().Err()}
		})})
		defer s.Close()
		s.Set(endpoints("a:1", "b:1"))
		for range 50 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://weir/", nil)
			_, _ = s.RoundTrip(req)
			cancel()
		}
		if got := states(s); got != "a:1 healthy, b:1 healthy, asks healthy" {
			t.Error(got)
		}
	})
}

func TestAShareOfFailuresEjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fails := 0
		s := service.New(service.Options{Name: "users", Balance: inTurn, Log: quiet(), Selection: outlier(func(o *config.Outlier) { o.Failures = 0 }), Transport: road(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "a:1" {
				if fails++; fails%2 == 0 {
					return response(502, ""), nil
				}
			}
			return response(200, ""), nil
		})})
		defer s.Close()
		s.Set(endpoints("a:1", "b:1"))
		for range 30 { // too few within the window
			get(s, 4)
			time.Sleep(4 * time.Second) //nolint:forbidigo // virtual
		}
		if got := states(s); got != "a:1 healthy, b:1 healthy, asks healthy" {
			t.Fatal(got)
		}
		get(s, 100)
		if e := s.Status().Endpoints[0]; e.State != service.Ejected || !strings.Contains(e.Why, "requests failed within 10s: status 502") {
			t.Errorf("%s: %s", e.State, e.Why)
		}
	})
}

// At least one endpoint always stays in use, or a share of them if that is more.
func TestNotAllAreEjected(t *testing.T) {
	for addresses, most := range map[string]int{"a": 0, "ab": 1, "abc": 1, "abcd": 2, "abcdefghij": 5} {
		synctest.Test(t, func(t *testing.T) {
			b := newBackends()
			var list []discovery.Endpoint
			for _, c := range addresses {
				address := string(c) + ":1"
				b.status[address] = 503
				list = append(list, discovery.Endpoint{Address: address, Weight: 1})
			}
			s := selected(b, outlier(func(*config.Outlier) {}), quiet())
			defer s.Close()
			s.Set(list)
			get(s, 1000)
			if got := strings.Count(states(s), "ejected"); got != most {
				t.Errorf("of %d endpoints %d are ejected, want %d", len(list), got, most)
			}
		})
	}
}

// An ejected endpoint gets one request to prove itself. If that request fails, the client does not notice it. The
// endpoint is left alone for twice as long each time.
func TestAnEjectedEndpointProvesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackends()
		b.broken["a:1"] = &exchange.SendError{Dial: true, Err: errors.New("refused")}
		s := selected(b, outlier(func(*config.Outlier) {}), quiet())
		defer s.Close()
		s.Set(endpoints("a:1", "b:1"))
		for range 5 {
			time.Sleep(100 * time.Millisecond) //nolint:forbidigo // virtual; it is passed over for that long
			get(s, 20)
		}
		b.since()
		for i, rest := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute} {
			until := s.Status().Endpoints[0].Ejected
			if got := time.Until(until); got != rest {
				t.Errorf("%d: left alone for %s, want %s", i, got, rest)
			}
			time.Sleep(rest - time.Second) //nolint:forbidigo // virtual
			get(s, 50)
			if got := b.since(); got != "[b:1:50]" {
				t.Errorf("%d: before its time asked were %s", i, got)
			}
			time.Sleep(2 * time.Second) //nolint:forbidigo // virtual
			if e := s.Status().Endpoints[0]; e.State != service.Ejected || !e.Proving {
				t.Errorf("%d: %+v", i, e)
			}
			if got, asked := get(s, 50), b.since(); got != "[200:50]" || asked != "[a:1:1 b:1:50]" {
				t.Errorf("%d: got %s, asked were %s", i, got, asked)
			}
		}
		b.set(func() { delete(b.broken, "a:1") })
		time.Sleep(5*time.Minute + time.Second) //nolint:forbidigo // virtual
		if got, asked := get(s, 1), b.since(); got != "[200:1]" || asked != "[a:1:1]" {
			t.Errorf("got %s, asked were %s", got, asked)
		}
		get(s, 100)
		if got, asked := states(s), b.since(); got != "a:1 healthy, b:1 healthy, asks healthy" || !strings.Contains(asked, "a:1") {
			t.Errorf("%s, asked were %s", got, asked)
		}
	})
}

// A check tries to connect, so that its success counts as proof, once, if an endpoint was ejected for lost
// connections. Of answers the check knows nothing.
func TestGoodChecksEndAnEjectionForLostConnections(t *testing.T) {
	for name, c := range map[string]struct {
		fails func(b *backends)
		early bool
	}{
		"no connection is made": {func(b *backends) { b.broken["a:1"] = &exchange.SendError{Dial: true, Err: errors.New("refused")} }, true},
		"connections break":     {func(b *backends) { b.broken["a:1"] = &exchange.SendError{Sent: exchange.SentAll, Err: io.EOF} }, true},
		"no answer comes": {func(b *backends) {
			b.broken["a:1"] = &exchange.SendError{Sent: exchange.SentAll, Timeout: true, Err: errors.New("late")}
		}, false},
		"answers are errors": {func(b *backends) { b.status["a:1"] = 503 }, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, checkers := newBackends(), health.NewCheckers(0, nil)
			defer checkers.Close()
			rules := outlier(func(*config.Outlier) {})
			rules.Check, rules.Checkers = tcpCheck(), checkers
			s := selected(b, rules, quiet())
			defer s.Close()
			s.Set(endpoints("a:1", "b:1"))
			time.Sleep(time.Second) //nolint:forbidigo // virtual: both are healthy
			b.set(func() { c.fails(b); b.sick["a:1"] = errSick })
			for s.Status().Endpoints[0].State == service.Healthy {
				time.Sleep(100 * time.Millisecond) //nolint:forbidigo // virtual; who takes no connection is passed over for that long
				get(s, 20)
			}
			b.set(func() { delete(b.sick, "a:1") })
			time.Sleep(2 * time.Second) //nolint:forbidigo // virtual
			if e := s.Status().Endpoints[0]; e.State != service.Ejected || e.Proving != c.early {
				t.Errorf("%s: once its checks are good: %+v", name, e)
			}
			if !c.early {
				return
			}
			get(s, 20)                   // one of them shows that the checks are wrong
			time.Sleep(30 * time.Second) //nolint:forbidigo // virtual
			if e := s.Status().Endpoints[0]; e.State != service.Ejected || e.Proving {
				t.Errorf("%s: after a proof that failed: %+v", name, e)
			}
			b.set(func() { delete(b.broken, "a:1") })
			time.Sleep(31 * time.Second) //nolint:forbidigo // virtual
			get(s, 20)
			if got := states(s); got != "a:1 healthy, b:1 healthy, asks healthy" {
				t.Errorf("%s: in the end %s", name, got)
			}
		})
	}
}

// A request that could not be sent again does not prove an endpoint, unless no other requests come.
func TestAPostDoesNotProveAnEndpointAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackends()
		b.status["a:1"] = 503
		s := selected(b, outlier(func(*config.Outlier) {}), quiet())
		defer s.Close()
		s.Set(endpoints("a:1", "b:1"))
		get(s, 100)
		time.Sleep(31 * time.Second) //nolint:forbidigo // virtual
		b.since()
		post := func() {
			req, _ := request(http.MethodPost, "body")
			_ = answerOf(s.RoundTrip(req))
		}
		for range 20 {
			post()
		}
		if got := b.since(); got != "[b:1:20]" {
			t.Errorf("asked were %s", got)
		}
		time.Sleep(10 * time.Second) //nolint:forbidigo // virtual
		post()
		if got := b.since(); got != "[a:1:1]" {
			t.Errorf("asked were %s", got)
		}
	})
}

func holding(d time.Duration, n int) service.Selection {
	return service.Selection{Hold: config.Hold{Time: d, Requests: n}, Panic: 50}
}

func TestARequestWaitsForAnEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackends()
		s := selected(b, holding(2*time.Second, 2), quiet())
		defer s.Close()
		s.Set(endpoints("a:1"))
		s.Set(nil)
		begin := time.Now()
		var work sync.WaitGroup
		got := make(chan string, 3)
		for range 3 {
			work.Go(func() {
				req, _ := request(http.MethodPost, "body")
				got <- answerOf(s.RoundTrip(req))
			})
		}
		synctest.Wait()
		if status := s.Status(); status.Waiting != 2 {
			t.Errorf("%d wait", status.Waiting)
		}
		time.Sleep(time.Second) //nolint:forbidigo // virtual
		s.Set(endpoints("b:1"))
		work.Wait()
		if a, b, c := <-got, <-got, <-got; a != "no-endpoint" || b != "200" || c != "200" || time.Since(begin) != time.Second {
			t.Errorf("got %s, %s, %s after %s", a, b, c, time.Since(begin))
		}
	})
}

func TestAWaitHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := selected(newBackends(), holding(2*time.Second, 10), quiet())
		defer s.Close()
		s.Set(conditions(discovery.NotReady))
		begin := time.Now()
		req, _ := request(http.MethodGet, "")
		_, err := s.RoundTrip(req)
		f, ok := errors.AsType[*fault.Fault](err)
		if !ok || f.Status != 503 || f.RetryAfter <= 0 || time.Since(begin) != 2*time.Second {
			t.Errorf("%v after %s", err, time.Since(begin))
		}

		ctx, cancel := context.WithTimeoutCause(context.Background(), time.Second, fault.ClientGone.New(""))
		defer cancel()
		_, err = s.RoundTrip(req.WithContext(ctx))
		if code(err) != "client-gone" || s.Status().Waiting != 0 {
			t.Errorf("the client left: %v", err)
		}
	})
}

// An instance that takes over an address is a new endpoint.
func TestAnotherInstanceAtAnAddressIsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackends()
		one := discovery.Endpoint{ID: "1", Address: "a:1", Weight: 1}
		other := one
		other.ID = "2"
		s := selected(b, outlier(func(*config.Outlier) {}), quiet())
		defer s.Close()
		s.Set([]discovery.Endpoint{one, {Address: "b:1", Weight: 1}})
		hosts := map[string]bool{}
		for range 50 {
			get(s, 1)
		}
		for _, h := range b.asked {
			hosts[h] = true
			if h != "b:1" {
				b.status[h] = 503
			}
		}
		get(s, 50)
		if got := states(s); got != "a:1 ejected, b:1 healthy, asks healthy" {
			t.Error(got)
		}
		b.since()
		s.Set([]discovery.Endpoint{other, {Address: "b:1", Weight: 1}})
		get(s, 50)
		if got := states(s); got != "a:1 healthy, b:1 healthy, asks healthy" {
			t.Error(got)
		}
		for _, h := range b.asked {
			if h != "b:1" && hosts[h] {
				t.Error("the new one is called by connections of the old one")
			}
		}
	})
}
