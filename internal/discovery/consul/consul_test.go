package consul

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/discovery/discoverytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func settings(text string) (Config, *doc.Problems) {
	var ps doc.Problems
	c := defaults()
	if n := doc.Parse("weir.yaml", []byte("consul: "+text), &ps); n != nil {
		doc.Decode(n.Get("consul"), &c, &ps)
	}
	return c, &ps
}

// opened opens a source by settings as they are written behind their key.
func opened(t testing.TB, text string) *source {
	t.Helper()
	c, ps := settings(text)
	return discoverytest.Open(t, open, c, ps).(*source)
}

func run(t testing.TB, s *source, rest string) *discoverytest.Running {
	t.Helper()
	return discoverytest.Run(t, s, config.Ref{Scheme: scheme, Rest: rest})
}

func TestInstancesAreEndpoints(t *testing.T) {
	f := startFake(t)
	f.put("users", instance("a", "10.0.0.1", 80, "passing"))
	r := run(t, opened(t, f.URL), "users")
	r.Have("10.0.0.1:80")
	f.put("users", instance("a", "10.0.0.1", 80, "passing", "warning"), instance("b", "", 81), instance("c", "10.0.0.3", 80, "passing", "critical", "warning"), instance("d", "10.0.0.4", 0), instance("e", "unix:/run/x", 5))
	r.Have("10.0.0.1:80", "10.0.0.3:80(not ready)", "10.9.9.9:81")
	f.put("users", instance("a", "10.0.0.1", 80, "passing"), instance("d", "10.0.0.4", 0), instance("f\x1b[2J", "10.0.0.6", 80))
	r.Have("10.0.0.1:80")
	await.That(t, "it is told", func() bool { return strings.Contains(r.Logged(), `id="f\x1b[2J"`) })
	if n := strings.Count(r.Logged(), "id=d"); n != 1 || !strings.Contains(r.Logged(), "id=e") {
		t.Errorf("what is no endpoint is told %d times: %s", n, r.Logged())
	}
	if e := r.Sets()[0][0]; e.ID != "a@10" || e.Zone != "a" || e.Node != "n1" || e.Weight != 1 {
		t.Errorf("%+v", e)
	}
}

// TestQuestionsAreThoseOfTheDocumentation holds every field of what is asked: the first question
// waits for nothing, the next for what comes after its answer.
func TestQuestionsAreThoseOfTheDocumentation(t *testing.T) {
	t.Setenv("CONSUL_TOKEN", "s3cret")
	for name, c := range map[string]struct{ settings, rest, first, next string }{
		"plainly":       {"", "users", "GET /v1/health/service/users?stale= token=", "GET /v1/health/service/users?index=8&stale=&wait=60000ms token="},
		"with all":      {", token: '${env:CONSUL_TOKEN}', datacenter: eu, consistency: consistent", "my%20users?tag=v2&tag=blue", "GET /v1/health/service/my%2520users?consistent=&dc=eu&tag=v2&tag=blue token=s3cret", "GET /v1/health/service/my%2520users?consistent=&dc=eu&index=8&tag=v2&tag=blue&wait=60000ms token=s3cret"},
		"of the leader": {", consistency: default", "users?dc=us", "GET /v1/health/service/users?dc=us token=", "GET /v1/health/service/users?dc=us&index=8&wait=60000ms token="},
	} {
		t.Run(name, func(t *testing.T) {
			f := startFake(t)
			f.put("users", instance("a", "10.0.0.1", 80))
			f.put("my%20users", instance("a", "10.0.0.1", 80))
			f.do(func(f *fake) { f.index = 8 })
			run(t, opened(t, "{ address: "+f.URL+c.settings+" }"), c.rest)
			await.That(t, "two questions", func() bool { return len(f.questions()) == 2 })
			if got := f.questions(); got[0] != c.first || got[1] != c.next {
				t.Errorf("asked\n%s", strings.Join(got, "\n"))
			}
		})
	}
}

func TestAnIndexThatGoesBackBeginsAnew(t *testing.T) {
	f := startFake(t)
	f.do(func(f *fake) { f.index = 100 })
	f.put("users", instance("a", "10.0.0.1", 80))
	r := run(t, opened(t, f.URL), "users")
	r.Have("10.0.0.1:80")
	await.That(t, "a question that waits", func() bool { return len(f.questions()) == 2 })
	f.do(func(f *fake) { // restored from a backup
		f.index = 3
		f.services["users"] = []map[string]any{instance("a", "10.0.0.2", 80)}
		f.instead = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "3")
			f.do(func(f *fake) { f.instead = nil })
			_, _ = io.WriteString(w, "[]")
		}
		close(f.changed)
		f.changed = make(chan struct{})
	})
	f.CloseClientConnections()
	r.Have("10.0.0.2:80")
	r.Only("10.0.0.1:80", "10.0.0.2:80") // nothing is believed to be there no more at once
}

// A server that lets nobody wait is not asked in a circle.
func TestNobodyIsAskedInACircle(t *testing.T) {
	for name, instead := range map[string]http.HandlerFunc{
		"an index of 0": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "0")
			_, _ = io.WriteString(w, "[]")
		},
		"no waiting": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "5")
			_, _ = io.WriteString(w, "[]")
		},
		"no index": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[]") },
		"null": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "5")
			_, _ = io.WriteString(w, "null")
		},
		"a page": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "5")
			_, _ = io.WriteString(w, "<html>")
		},
		"half an answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "5")
			_, _ = io.WriteString(w, `[{"Node"`)
		},
		"no leader": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "No cluster leader", http.StatusInternalServerError)
		},
		"a token that is wrong": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "Permission denied", http.StatusForbidden) },
		"a hang-up":             func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := startFake(t)
			f.do(func(f *fake) { f.instead = instead })
			r := run(t, opened(t, f.URL), "users")
			await.That(t, "a second question", func() bool { return len(f.questions()) > 1 })
			began := time.Now()
			await.That(t, "a while", func() bool { return time.Since(began) > time.Second })
			if n := len(f.questions()); n > mostlyFine+10 {
				t.Errorf("it was asked %d times within about a second", n)
			}
			r.Only()
		})
	}
}

func TestConsulGoneAndThereAgain(t *testing.T) {
	f := startFake(t)
	f.put("users", instance("a", "10.0.0.1", 80))
	r := run(t, opened(t, f.URL), "users")
	r.Have("10.0.0.1:80")
	for _, c := range []struct {
		told    string
		instead http.HandlerFunc
	}{
		{"it answers 500 No cluster leader", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "No cluster leader", http.StatusInternalServerError)
		}},
		{"it answers 429", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }},
		{"no X-Consul-Index", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "[]") }},
		{"knows no leader", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "9")
			w.Header().Set("X-Consul-KnownLeader", "false")
			_, _ = io.WriteString(w, "[]")
		}},
		{"has not heard of its leader for 11s", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "9")
			w.Header().Set("X-Consul-LastContact", "11000")
			_, _ = io.WriteString(w, "[]")
		}},
		{"EOF", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	} {
		f.do(func(f *fake) { f.instead = c.instead })
		f.CloseClientConnections()
		r.Trouble(c.told)
	}
	f.do(func(f *fake) { f.instead = nil })
	f.put("users", instance("a", "10.0.0.2", 80))
	r.Have("10.0.0.2:80")
	r.Only("10.0.0.1:80", "10.0.0.2:80")
}

func TestWhatIsAskedForAfterATimeIsNotAskedBefore(t *testing.T) {
	a := &asking{failures: 1}
	if d := a.pauseAfter(&refusedError{status: 503, after: 20 * time.Second}); d != 20*time.Second {
		t.Errorf("Retry-After: 20 is a pause of %v", d)
	}
	if d := a.pauseAfter(&refusedError{status: 503, after: time.Hour}); d != mostAfter {
		t.Errorf("Retry-After: 3600 is a pause of %v", d)
	}
	for failures := range 100 {
		a.failures = failures + 1
		if d := a.pauseAfter(errors.New("gone")); d <= 0 || d > longestPause || a.failures > 10 && d < longestPause/2 {
			t.Errorf("after %d failures: %v", a.failures, d)
		}
	}
}

// A service without any instance is not believed to have none at once.
func TestTheLastInstanceStaysForAWhile(t *testing.T) {
	f := startFake(t)
	s := opened(t, f.URL)
	s.doubt = time.Hour
	r := run(t, s, "users")
	r.Trouble(discovery.ErrAbsent.Error())
	f.put("users", instance("a", "10.0.0.1", 80))
	r.Have("10.0.0.1:80")
	f.put("users")
	r.Trouble(discovery.ErrAbsent.Error())
	f.put("users", instance("a", "10.0.0.2", 80))
	r.Have("10.0.0.2:80")
	r.Only("10.0.0.1:80", "10.0.0.2:80")
	s = opened(t, f.URL)
	s.doubt = 50 * time.Millisecond
	r = run(t, s, "users")
	r.Have("10.0.0.2:80")
	f.put("users")
	r.Have()
	if n := len(f.questions()); n > 100 {
		t.Errorf("it was asked %d times", n)
	}
}

// What is doubted is asked for again soon, also if the time of the doubt has run out before the next query is sent.
func TestADoubtThatRanOutBetweenTwoQueriesEnds(t *testing.T) {
	f := startFake(t)
	s := opened(t, f.URL)
	s.doubt = time.Nanosecond
	r := run(t, s, "users")
	r.Have()
}

func TestConditionsWeightsAndPlaces(t *testing.T) {
	with := func(change func(e *entry)) entry {
		e := entry{}
		e.Node.Node, e.Node.Address, e.Service.ID, e.Service.Port = "n1", "10.0.0.1", "a", 80
		change(&e)
		return e
	}
	check := func(e *entry, id, status string) {
		e.Checks = append(e.Checks, struct{ CheckID, Status string }{id, status})
	}
	for name, c := range map[string]struct {
		entry     entry
		condition discovery.Condition
		weight    int
		zone      string
	}{
		"no checks":               {with(func(*entry) {}), discovery.Ready, 1, ""},
		"passing":                 {with(func(e *entry) { check(e, "x", "passing"); e.Service.Weights = &struct{ Passing, Warning int }{10, 1} }), discovery.Ready, 10, ""},
		"warning":                 {with(func(e *entry) { check(e, "x", "warning"); e.Service.Weights = &struct{ Passing, Warning int }{10, 1} }), discovery.Draining, 1, ""},
		"critical":                {with(func(e *entry) { check(e, "x", "warning"); check(e, "y", "critical"); check(e, "z", "passing") }), discovery.NotReady, 1, ""},
		"what nobody knows":       {with(func(e *entry) { check(e, "x", "odd") }), discovery.NotReady, 1, ""},
		"maintenance of the node": {with(func(e *entry) { check(e, "_node_maintenance", "passing") }), discovery.NotReady, 1, ""},
		"its own maintenance":     {with(func(e *entry) { check(e, "_service_maintenance:a", "critical") }), discovery.NotReady, 1, ""},
		"no weight":               {with(func(e *entry) { e.Service.Weights = &struct{ Passing, Warning int }{0, 0} }), discovery.Ready, 0, ""},
		"below no weight":         {with(func(e *entry) { e.Service.Weights = &struct{ Passing, Warning int }{-5, 0} }), discovery.Ready, 0, ""},
		"the node's zone":         {with(func(e *entry) { e.Node.Meta = map[string]string{"az": "a"} }), discovery.Ready, 1, "a"},
		"its own zone": {with(func(e *entry) {
			e.Node.Meta = map[string]string{"az": "a"}
			e.Service.Meta = map[string]string{"az": "b"}
		}), discovery.Ready, 1, "b"},
		"its locality": {with(func(e *entry) {
			e.Service.Meta = map[string]string{"az": "b"}
			e.Service.Locality = &struct{ Zone string }{"c"}
		}), discovery.Ready, 1, "c"},
	} {
		got, err := c.entry.endpoint(discovery.Draining, "az") // which stands for what a warning is
		if err != nil || got.Condition != c.condition || got.Weight != c.weight || got.Zone != c.zone || got.Address != "10.0.0.1:80" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestMoreServicesThanConnections holds that an agent is not asked by more connections than it
// allows, and shows how long a change takes to be a set.
func TestMoreServicesThanConnections(t *testing.T) {
	const services = 400
	f := startFake(t)
	for i := range services {
		f.put(fmt.Sprintf("s%d", i), instance("a", "10.0.0.1", i+1))
	}
	s := opened(t, f.URL)
	var all []*discoverytest.Running
	for i := range services {
		all = append(all, run(t, s, fmt.Sprintf("s%d", i)))
	}
	for i, r := range all {
		r.Have(fmt.Sprintf("10.0.0.1:%d", i+1))
	}
	began := time.Now()
	for i := range services {
		f.put(fmt.Sprintf("s%d", i), instance("a", "10.0.0.2", i+1))
	}
	for i, r := range all {
		r.Have(fmt.Sprintf("10.0.0.2:%d", i+1))
	}
	t.Logf("%d services have heard of a change of each after %v", services, time.Since(began))
	f.do(func(f *fake) {
		if f.most > places {
			t.Errorf("%d questions waited at once", f.most)
		}
	})
}

func TestAChangeIsHeardAtOnce(t *testing.T) {
	f := startFake(t)
	f.put("users", instance("a", "10.0.0.1", 1))
	r := run(t, opened(t, f.URL), "users")
	r.Have("10.0.0.1:1")
	var times []time.Duration
	for i := range mostlyFine - 2 {
		began := time.Now()
		f.put("users", instance("a", "10.0.0.1", i+2))
		r.Have(fmt.Sprintf("10.0.0.1:%d", i+2))
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	t.Logf("from the change to the set: p50 %v, most %v (looked at every 2 ms)", times[len(times)/2], times[len(times)-1])
}

func TestAnAnswerThatDoesNotEnd(t *testing.T) {
	f := startFake(t)
	var written atomic.Int64
	f.do(func(f *fake) {
		f.instead = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Consul-Index", "5")
			_, _ = io.WriteString(w, `[{"Node":{"Node":"`)
			for r.Context().Err() == nil && written.Load() < 3*largestAnswer {
				n, err := io.WriteString(w, strings.Repeat("x", 64<<10))
				if written.Add(int64(n)); err != nil {
					return
				}
			}
		}
	})
	run(t, opened(t, f.URL), "users").Trouble("the answer has more than")
}

func TestReferences(t *testing.T) {
	for rest, want := range map[string]string{
		"users": "/v1/health/service/users?", "users?tag=a&tag=b&dc=eu": "/v1/health/service/users?dc=eu&tag=a&tag=b", "übung": "/v1/health/service/%C3%BCbung?",
	} {
		r, err := readReference(rest)
		if got := r.path() + "?" + r.values().Encode(); got != want || err != nil {
			t.Errorf("%s asks for %s, %v", rest, got, err)
		}
	}
	for rest, want := range map[string]string{
		"": "name of the service is missing", "?tag=a": "name of the service is missing", "//127.0.0.1:8500/users": "no slashes", "a/b": "no name of a service", "a b": "holds a blank", "a\x1bb": "what cannot be printed", "users?tag=a%0ab": "cannot be printed", "users?dc=e u": "holds a blank",
		"users?near=a": `"near" is not known`, "users?dc=a&dc=b": `"dc" is not known`, "users?tag=%zz": "not understood",
	} {
		if _, err := readReference(rest); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", rest, err)
		}
	}
	for _, s := range Definition().Schemes {
		rest, found := strings.CutPrefix(s.Example, s.Name+":")
		if !found || s.Check(config.Ref{Scheme: s.Name, Rest: rest}) != nil {
			t.Errorf("%+v", s)
		}
	}
}

func TestSettings(t *testing.T) {
	for text, want := range map[string]string{
		"http://10.0.0.5:8500": "http://10.0.0.5:8500", "https://consul.internal": "https://consul.internal:8501", "{ address: 'http://a/' }": "http://a:8500",
		"unix:/run/consul.sock": "unix:/run/consul.sock", "{ token: '${env:X}', warning: not_ready, consistency: default, zone: az, datacenter: eu }": "http://127.0.0.1:8500",
		"{ address: 'https://a', ca: /ca, cert: /c, key: /k, name: x }": "https://a:8501", "{ zone: '' }": "http://127.0.0.1:8500",
	} {
		c, ps := settings(text)
		if ps.Failed() || c.Address.String() != want {
			t.Errorf("%s: %v, %v", text, c.Address, ps.Sorted())
			continue
		}
		var again doc.Problems
		written := defaults()
		if n := doc.Parse("weir.yaml", doc.Encode(&c), &again); n != nil {
			doc.Decode(n, &written, &again)
		}
		if again.Failed() || !config.Same(c, written) {
			t.Errorf("%s is written as %s: %v", text, doc.Encode(&c), again.Sorted())
		}
	}
	for text, want := range map[string]string{
		"10.0.0.5:8500": "it is no URL", "unix:run": "unix", "http://u:p@a": "a user in a URL", "http://a/ui": "it has a path", "http://a:0": "is not a number",
		"{ consistency: eventual }": `"eventual" is no consistency`, "{ warning: draining }": "is nothing that an instance can be", "{ adress: x }": `unknown key "adress"`,
		"{ ca: /ca }": "is asked without TLS",
	} {
		_, ps := settings(text)
		if list := ps.Sorted(); len(list) == 0 || !strings.Contains(list[0].String(), want) {
			t.Errorf("%s: %v", text, list)
		}
	}
	c, _ := settings("{ token: '${env:WEIR_NOT_THERE}' }")
	if _, err := open(discovery.SourceEnv{Secret: secret.Resolve}, &c); err == nil {
		t.Error("a token that is missing is passed over")
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(`[{"Node":{"Node":"n","Address":"10.0.0.1"},"Service":{"ID":"a","Port":80,"Weights":{"Passing":1,"Warning":1}},"Checks":[{"CheckID":"x","Status":"passing"}]}]`)
	f.Add(`[]`)
	f.Add(`[{"Service":{"Address":"::1","Port":-1,"Weights":null}}]`)
	f.Fuzz(func(t *testing.T, text string) {
		head := headOf("7")
		found, err := readAnswer(strings.NewReader(text), head)
		if err != nil {
			return
		}
		for i := range found.entries {
			e, err := found.entries[i].endpoint(discovery.Ready, "zone")
			if err != nil {
				continue
			}
			if _, _, err := discovery.SplitAddress(e.Address); err != nil || e.Weight < 0 {
				t.Errorf("%+v", e)
			}
		}
	})
}
