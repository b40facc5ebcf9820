package compile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/base/shelf"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/control/compile"
	"github.com/weir-gateway/weir/internal/discovery"
)

// town is a provider whose sets a test tells, by reference. It knows nothing of shelves,
// as no provider does.
type town struct {
	mu   sync.Mutex
	told map[string]chan func(p *telling)
}

// telling is how a provider speaks.
type telling struct {
	set, partly func([]discovery.Endpoint)
	looked      func(error)
}

func (c *town) channel(rest string) chan func(*telling) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told == nil {
		c.told = map[string]chan func(*telling){}
	}
	if c.told[rest] == nil {
		c.told[rest] = make(chan func(*telling))
	}
	return c.told[rest]
}

func (c *town) definition() discovery.Definition {
	return discovery.Definition{
		Schemes: []discovery.Scheme{{Scheme: config.Scheme{Name: "town", Summary: "a test's", Example: "town:users"}}},
		New: func(env discovery.Env, s config.Service) (discovery.Provider, error) {
			return resident{c.channel(s.Source.Rest), env}, nil
		},
	}
}

type resident struct {
	told chan func(*telling)
	env  discovery.Env
}

var errLeft = errors.New("the town is no more")

func (r resident) Run(ctx context.Context, set func([]discovery.Endpoint)) error {
	p := &telling{set, r.env.Partly, r.env.Looked}
	for {
		select {
		case <-ctx.Done():
			return nil
		case say := <-r.told:
			if say == nil {
				return errLeft
			}
			say(p)
		}
	}
}

// tells lets the provider that runs speak, and waits until it has.
func (c *town) tells(rest string, say func(*telling)) {
	said := make(chan struct{})
	c.channel(rest) <- func(p *telling) { say(p); close(said) }
	<-said
}

// finds is what a provider tells that looks at its source, where these are.
func (c *town) finds(rest string, addresses ...string) {
	c.tells(rest, func(p *telling) { p.set(endpoints(addresses)); p.looked(nil) })
}

// findsPartly is what it tells where it saw these, and could not see the rest.
func (c *town) findsPartly(rest string, addresses ...string) {
	c.tells(rest, func(p *telling) { p.partly(endpoints(addresses)); p.looked(errors.New("one is silent")) })
}

func endpoints(addresses []string) []discovery.Endpoint {
	list := []discovery.Endpoint{}
	for _, a := range addresses {
		list = append(list, discovery.Endpoint{Address: a, Weight: 1})
	}
	return list
}

// looks is what it tells where nothing has changed, or nothing could be seen.
func (c *town) looks(rest string, err error) { c.tells(rest, func(p *telling) { p.looked(err) }) }

// life is one life of a gateway after the other, with one shelf.
type life struct {
	*world

	town  town
	age   time.Duration
	kept  string // the folder of the shelf
	shelf *shelf.Shelf
	log   *await.Text
}

func newLife(t *testing.T) *life {
	t.Helper()
	l := &life{world: newWorld(t), age: 24 * time.Hour}
	l.kept = filepath.Join(l.folder, "shelf")
	l.parts.Providers = append(l.parts.Providers, l.town.definition())
	l.begin()
	return l
}

func (l *life) begin() {
	l.t.Helper()
	l.log = &await.Text{}
	log := slog.New(slog.NewTextHandler(l.log, nil))
	var err error
	if l.shelf, err = shelf.New(l.kept, log); err != nil {
		l.t.Fatal(err)
	}
	l.compiler = compile.New(l.parts, compile.Options{Log: log, Secret: secret.Resolve, Shelf: l.shelf, KeptAge: l.age})
}

// end is the end of a process.
func (l *life) end() {
	l.t.Helper()
	l.shelf.Close(context.Background())
	l.compiler.Close(context.Background())
}

func (l *life) again() {
	l.t.Helper()
	l.end()
	l.begin()
}

// stands gives what is heard of the only source, in a few words.
func (l *life) stands() string {
	l.t.Helper()
	heard := l.gateway.Current().Heard
	if len(heard) != 1 {
		l.t.Fatalf("it hears of %d sources", len(heard))
	}
	h := heard[0]()
	text := fmt.Sprintf("%d %s of %s", h.Count, h.Kind, h.Of)
	if h.Kept {
		text += fmt.Sprintf(", kept for %s more", time.Until(h.Until).Round(time.Second))
	}
	if !h.Confirmed.IsZero() {
		text += fmt.Sprintf(", confirmed %s ago", time.Since(h.Confirmed).Round(time.Second))
	}
	if h.Err != nil {
		text += ": " + h.Err.Error()
	}
	return text
}

// asks gives who would be asked now.
func (l *life) asks() string { return l.asksOf("/") }

func (l *life) asksOf(path string) string {
	l.t.Helper()
	e := l.gateway.Current().Explain(":8080", httptestRequest(path), peer(), nil)
	if len(e.Backends) != 1 {
		l.t.Fatalf("%s has %d backends", path, len(e.Backends))
	}
	if kept, h := e.Backends[0].Kept, l.gateway.Current().Heard[0](); h.Kept != !kept.IsZero() {
		l.t.Errorf("explain says that it is of %s, the status %v", kept, h.Kept)
	}
	return strings.Join(e.Backends[0].Endpoints, " ")
}

func (l *life) files() int {
	l.t.Helper()
	list, err := os.ReadDir(l.kept)
	if err != nil && !os.IsNotExist(err) {
		l.t.Fatal(err)
	}
	return len(list)
}

const toTown = "routes:\n  ANY /**: { to: 'town:users' }\n"

// inBubble runs a test in time of its own. Nothing in it goes over a network.
func inBubble(t *testing.T, test func(l *life)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t)
		defer func() { l.end() }()
		test(l)
	})
}

func sleep(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the bubble's time
	synctest.Wait()
}

func TestAStartWhileNothingAnswersAsksWhomItAskedBefore(t *testing.T) {
	l := newLife(t)
	one := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "one") }))
	defer one.Close()
	address := one.Listener.Addr().String()
	var found sync.WaitGroup
	found.Go(func() { l.town.finds("users", address) })
	l.serve(l.load(toTown))
	found.Wait() // all of it, so that it is kept
	if got := l.get("/"); got.Code != http.StatusOK || got.Body.String() != "one" {
		t.Fatalf("at first: %d %s", got.Code, got.Body)
	}
	l.again()
	defer l.end()
	l.serve(l.load(toTown)) // the town is silent
	if got := l.get("/"); got.Code != http.StatusOK || got.Body.String() != "one" {
		t.Errorf("after a start in a bad hour: %d %s", got.Code, got.Body)
	}
}

func TestKeptEndpointsCountUntilTheirSourceIsSeenOrTheyAreTooOld(t *testing.T) {
	inBubble(t, func(l *life) {
		began := time.Now()
		go l.town.finds("users", "a:1", "b:1")
		l.serve(l.load(toTown))
		sleep(time.Hour)
		l.again()
		l.serve(l.load(toTown))
		if took := time.Since(began) - time.Hour; took > 0 {
			l.t.Errorf("a kept set was waited with for %s", took)
		}
		if got := l.asks() + "; " + l.stands(); got != "a:1 b:1; 2 endpoints of town:users, kept for 23h0m0s more, confirmed 1h0m0s ago" {
			l.t.Errorf("after a start: %s", got)
		}
		if !strings.Contains(l.log.String(), "of before the start") || strings.Contains(l.log.String(), "serving before") {
			l.t.Errorf("the log tells:\n%s", l.log)
		}
		sleep(time.Hour)
		l.serve(l.load(toTown)) // a reload changes nothing
		l.town.looks("users", errors.New("no answer"))
		l.town.looks("users", nil) // of which nothing has come yet
		l.town.looks("users", errors.New("no answer"))
		if got := l.asks() + "; " + l.stands(); got != "a:1 b:1; 2 endpoints of town:users, kept for 22h0m0s more, confirmed 2h0m0s ago: no answer" {
			l.t.Errorf("an hour later: %s", got)
		}
		l.again() // and another start makes it no younger
		l.serve(l.load(toTown))
		sleep(22*time.Hour - time.Second)
		if got := l.asks(); got != "a:1 b:1" {
			l.t.Errorf("before it is too old: %s", got)
		}
		sleep(2 * time.Second)
		if got := l.asks() + "; " + l.stands(); got != "; 0 endpoints of town:users, confirmed 24h0m1s ago" {
			l.t.Errorf("when it is too old: %s", got)
		}
		if got := l.get("/").Code; got != http.StatusServiceUnavailable {
			l.t.Errorf("it answers %d", got)
		}
		l.town.finds("users", "c:1")
		if got := l.asks() + "; " + l.stands(); got != "c:1; 1 endpoints of town:users, confirmed 0s ago" {
			l.t.Errorf("when the source is seen: %s", got)
		}
	})
}

func TestWhatTheSourceSaysReplacesWhatWasKept(t *testing.T) {
	for name, c := range map[string]struct {
		now  []string
		want string
	}{
		"others":      {[]string{"b:1", "c:1"}, "b:1 c:1; 2 endpoints of town:users, confirmed 0s ago"},
		"the same":    {[]string{"a:1"}, "a:1; 1 endpoints of town:users, confirmed 0s ago"},
		"surely none": {nil, "; 0 endpoints of town:users, confirmed 0s ago"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(l *life) {
				go l.town.finds("users", "a:1")
				l.serve(l.load(toTown))
				synctest.Wait()
				l.again()
				l.serve(l.load(toTown))
				l.town.finds("users", c.now...)
				synctest.Wait()
				if got := l.asks() + "; " + l.stands(); got != c.want {
					l.t.Errorf("now: %s, want %s", got, c.want)
				}
				l.again()
				l.serve(l.load(toTown))
				if got := l.asks(); got != strings.Join(c.now, " ") {
					l.t.Errorf("after the next start: %s", got)
				}
				if c.now == nil && l.files() > 0 {
					l.t.Error("no endpoints are kept, which helps nobody")
				}
			})
		})
	}
}

// TestAPartIsBetterThanNothingAndWorseThanWhatWasKept: a start while one of two names
// cannot be seen would else lose the endpoints of that one, for the next start too.
func TestAPartIsBetterThanNothingAndWorseThanWhatWasKept(t *testing.T) {
	inBubble(t, func(l *life) {
		go l.town.findsPartly("users", "a:1")
		l.serve(l.load(toTown))
		synctest.Wait()
		if got := l.asks() + "; " + l.stands(); got != "a:1; 1 endpoints of town:users: one is silent" {
			l.t.Errorf("where nothing was known: %s", got)
		}
		sleep(time.Minute)
		l.town.tells("users", func(p *telling) { p.partly(endpoints([]string{"a:1"})); p.looked(nil) }) // it was seen, and may lack some
		sleep(time.Minute)
		if l.files() > 0 {
			l.t.Error("a part is kept")
		}
		l.town.finds("users", "a:1", "b:1")
		sleep(time.Minute)
		l.again()
		l.serve(l.load(toTown))
		l.town.findsPartly("users", "a:1")
		if got := l.asks() + "; " + l.stands(); got != "a:1 b:1; 2 endpoints of town:users, kept for 23h59m0s more, confirmed 1m0s ago: one is silent" {
			l.t.Errorf("where all was kept: %s", got)
		}
		sleep(24 * time.Hour)
		if got := l.asks(); got != "a:1" {
			l.t.Errorf("when what was kept is too old: %s", got)
		}
	})
}

// TestAServiceThatMeansOthersNowCallsNobodyUntilTheyAreFound: its requests may carry what
// only the others may see.
func TestAServiceThatMeansOthersNowCallsNobodyUntilTheyAreFound(t *testing.T) {
	const named = "services: { s: '%s' }\nroutes:\n  ANY /**: s\n"
	inBubble(t, func(l *life) {
		go l.town.finds("users", "a:1")
		l.serve(l.load(fmt.Sprintf(named, "town:users")))
		synctest.Wait()
		if got := l.asks(); got != "a:1" {
			l.t.Fatalf("at first: %s", got)
		}
		l.serve(l.load(fmt.Sprintf(named, "town:others"))) // the town is silent
		if got := l.asks(); got != "" {
			l.t.Errorf("the ones before are called: %s", got)
		}
		l.town.finds("others", "b:1")
		if got := l.asks(); got != "b:1" {
			l.t.Errorf("when they are found: %s", got)
		}
	})
}

// TestALookConfirms holds that a set which does not change does not grow old while its
// source is seen.
func TestALookConfirms(t *testing.T) {
	inBubble(t, func(l *life) {
		go l.town.finds("users", "a:1")
		l.serve(l.load(toTown))
		for range 48 {
			sleep(time.Hour)
			l.town.looks("users", nil)
		}
		l.town.looks("users", errors.New("no answer"))
		sleep(10 * time.Minute)
		l.again()
		l.serve(l.load(toTown))
		if got := l.asks() + "; " + l.stands(); got != "a:1; 1 endpoints of town:users, kept for 23h50m0s more, confirmed 10m0s ago" {
			l.t.Errorf("after two days: %s", got)
		}
	})
}

// TestReadyWaitsForEachFirstSet holds the bound, and that an ended provider holds nobody.
func TestReadyWaitsForEachFirstSet(t *testing.T) {
	inBubble(t, func(l *life) {
		two := toTown + "services:\n  other: town:other\n"
		took := func(before func()) time.Duration {
			go before()
			began := time.Now()
			l.serve(l.load(two))
			return time.Since(began)
		}
		if d := took(func() { l.town.finds("users", "a:1"); sleep(time.Second); l.town.finds("other") }); d != time.Second {
			l.t.Errorf("for a set that comes after a second it was waited %s", d)
		}
		l.again() // no endpoints are kept of other
		if d := took(func() {}); d != 2*time.Second {
			l.t.Errorf("for a set that does not come it was waited %s", d)
		}
		if n := strings.Count(l.log.String(), "serving before"); n != 1 || !strings.Contains(l.log.String(), "service=other") {
			l.t.Errorf("the log tells:\n%s", l.log)
		}
		l.again()
		if d := took(func() { l.town.channel("other") <- nil }); d != 0 {
			l.t.Errorf("for a provider that has ended it was waited %s", d)
		}
	})
}

func TestOnlyWhatTheConfigNamesIsKeptAndOnlyWhereItChanges(t *testing.T) {
	inBubble(t, func(l *life) {
		go l.town.finds("users", "a:1")
		l.serve(l.load("routes:\n  GET /: { to: 'town:users' }\n  GET /x: http://127.0.0.1:1\nservices:\n  s: { endpoints: ['127.0.0.1:2'] }\n"))
		sleep(time.Minute)
		if n := l.files(); n != 1 {
			l.t.Errorf("there are %d files", n)
		}
		pending := l.compile(l.load("routes:\n  GET /: http://127.0.0.1:1\n"))
		pending.Abort(context.Background())
		sleep(time.Minute)
		if n := l.files(); n != 1 {
			l.t.Errorf("after a config that did not serve there are %d files", n)
		}
		l.serve(l.load("routes:\n  GET /: http://127.0.0.1:1\n"))
		sleep(time.Minute)
		if n := l.files(); n != 0 {
			l.t.Errorf("of a service that is gone there are %d files", n)
		}
	})
}

// TestEachKindOfConnectionsGetsEachSet holds it for a service that routes call in two ways.
func TestEachKindOfConnectionsGetsEachSet(t *testing.T) {
	inBubble(t, func(l *life) {
		const text = "routes:\n  GET /: { to: 'town:users' }\n  GET /slow: { to: 'town:users', timeout: { connect: 9s } }\n"
		go l.town.finds("users", "a:1")
		l.serve(l.load(text))
		l.town.finds("users", "b:1")
		for _, path := range []string{"/", "/slow"} {
			if got := l.asksOf(path); got != "b:1" {
				l.t.Errorf("%s asks %q", path, got)
			}
		}
		l.serve(l.load("routes:\n  GET /: { to: 'town:users' }\n"))
		l.town.finds("users", "c:1")
		if got := l.asks(); got != "c:1" {
			l.t.Errorf("it asks %q", got)
		}
	})
}
