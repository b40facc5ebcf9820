package registry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
	base "github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/traffic/registryapi"
	"github.com/weir-gateway/weir/internal/traffic/registryapi/registryapitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a registry with its API at an address that it may come back to.
type server struct {
	*base.Registry

	address string
	api     *registryapi.API
	http    *httptest.Server
}

func start(t *testing.T, address, folder string) *server {
	t.Helper()
	r, err := base.New(base.Options{Folder: folder})
	if err != nil {
		t.Fatal(err)
	}
	r.Open()
	s := &server{Registry: r, api: registryapi.New(registryapi.Options{Registry: r, Beat: 20 * time.Millisecond})}
	s.http = httptest.NewUnstartedServer(registryapitest.Handler(s.api))
	if address != "" {
		await.That(t, "the address is free again", func() bool {
			l, err := net.Listen("tcp", address)
			if err == nil {
				_ = s.http.Listener.Close()
				s.http.Listener = l
			}
			return err == nil
		})
	}
	s.http.Start()
	s.address = s.http.Listener.Addr().String()
	t.Cleanup(s.stop)
	return s
}

// stop ends the server, and cuts whoever is connected.
func (s *server) stop() {
	s.api.Supersede()
	s.http.CloseClientConnections()
	s.http.Close()
	s.Close()
}

func (s *server) put(t *testing.T, service, id, body string) {
	t.Helper()
	i, err := base.ParseBody(service, id, []byte(body), netip.MustParseAddr("10.0.0.1"))
	if err == nil {
		_, _, err = s.Put(i)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// seen is what a provider has told.
type seen struct {
	mu      sync.Mutex
	set     string
	partial string
	sets    int
	looked  error
	looks   int
}

func text(list []discovery.Endpoint) string {
	var parts []string
	for _, e := range list {
		parts = append(parts, fmt.Sprintf("%s=%s*%d@%s %s", e.ID, e.Address, e.Weight, e.Zone, e.Condition))
	}
	return strings.Join(parts, ", ")
}

func (s *seen) wait(t *testing.T, what string, is func(*seen) bool) {
	t.Helper()
	await.That(t, what, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return is(s)
	})
}

func (s *seen) has(t *testing.T, want string) {
	t.Helper()
	await.That(t, "the set is "+want, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.set == want
	})
}

// run runs the provider of a service of a source.
func run(t *testing.T, source discovery.Source, service string) (s *seen, stop func()) {
	t.Helper()
	s = &seen{}
	env := discovery.Env{
		Log:    slog.New(slog.NewTextHandler(t.Output(), nil)),
		Looked: func(err error) { s.mu.Lock(); defer s.mu.Unlock(); s.looked = err; s.looks++ },
		Partly: func(list []discovery.Endpoint) { s.mu.Lock(); defer s.mu.Unlock(); s.partial = text(list) },
	}
	p, err := source.Provider(env, config.Service{Source: config.Ref{Scheme: "registry", Rest: service}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := p.Run(ctx, func(list []discovery.Endpoint) { s.mu.Lock(); defer s.mu.Unlock(); s.set = text(list); s.sets++ }); err != nil {
			t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wait.Wait() })
	t.Cleanup(stop)
	return s, stop
}

func source(t *testing.T, yaml string, r *base.Registry) (discovery.Source, error) {
	t.Helper()
	var ps doc.Problems
	d := Definition()
	c := d.Settings()
	if yaml != "" {
		doc.Decode(doc.Parse("weir.yaml", []byte("registry: "+yaml), &ps).Get("registry"), c, &ps)
	}
	if ps.Failed() {
		t.Fatal(ps.Sorted())
	}
	return d.Open(discovery.SourceEnv{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Secret: secret.Resolve, Registry: r}, c)
}

func open1(t *testing.T, yaml string, r *base.Registry) discovery.Source {
	t.Helper()
	s, err := source(t, yaml, r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestInstancesOfTheOwnRegistry(t *testing.T) {
	s := start(t, "", t.TempDir())
	s.put(t, "users", "a", `{"port":80}`)
	from := open1(t, "", s.Registry)
	defer from.Close()
	got, stop := run(t, from, "users")
	defer stop()
	got.wait(t, "the first ones are known in part, for nobody remembers those of before", func(s *seen) bool { return s.partial == "a=10.0.0.1:80*1@ ready" })
}

func TestWhatIsRestoredIsTheWholeSet(t *testing.T) {
	folder := t.TempDir()
	s := start(t, "", folder)
	s.put(t, "users", "a", `{"port":80}`)
	s.stop()
	again := start(t, "", folder)
	from := open1(t, "", again.Registry)
	defer from.Close()
	got, stop := run(t, from, "users")
	defer stop()
	got.has(t, "a=10.0.0.1:80*1@ ready")
	again.put(t, "users", "b", `{"port":81,"zone":"z","weight":5,"condition":"draining"}`)
	got.has(t, "a=10.0.0.1:80*1@ ready, b=10.0.0.1:81*5@z draining")
	if err := again.Remove("users", "a"); err != nil {
		t.Fatal(err)
	}
	got.has(t, "b=10.0.0.1:81*5@z draining")
}

// settledServer is a registry whose set is whole from the start.
func settledServer(t *testing.T, folder string) *server {
	t.Helper()
	s := start(t, "", folder)
	s.put(t, "other", "x", `{"port":1}`)
	s.stop()
	return start(t, s.address, folder)
}

func TestAnotherRegistryIsFollowedOverItsRestarts(t *testing.T) {
	folder := t.TempDir()
	s := settledServer(t, folder)
	s.put(t, "users", "a", `{"port":80}`)
	from := open1(t, "http://"+s.address, nil)
	defer from.Close()
	users, stopUsers := run(t, from, "users")
	defer stopUsers()
	orders, stopOrders := run(t, from, "orders")
	defer stopOrders()
	users.has(t, "a=10.0.0.1:80*1@ ready")
	orders.wait(t, "nobody is there", func(s *seen) bool { return s.sets > 0 && s.set == "" && s.looked == nil })
	if n := s.Status().Watchers; n != 1 {
		t.Errorf("two services have %d watches", n)
	}
	s.put(t, "orders", "b", `{"port":81}`)
	orders.has(t, "b=10.0.0.1:81*1@ ready")

	s.stop()
	users.wait(t, "the registry is missed", func(s *seen) bool { return s.looked != nil })
	users.has(t, "a=10.0.0.1:80*1@ ready")

	again := start(t, s.address, folder)
	users.wait(t, "it is seen again", func(s *seen) bool { return s.looked == nil })
	users.has(t, "a=10.0.0.1:80*1@ ready")
	if err := again.Remove("users", "a"); err != nil {
		t.Fatal(err)
	}
	users.has(t, "")
	orders.has(t, "b=10.0.0.1:81*1@ ready")
}

// TestARegistryThatHasForgottenEverythingEmptiesNobody: its instances have to come back first.
func TestARegistryThatHasForgottenEverythingEmptiesNobody(t *testing.T) {
	s := settledServer(t, t.TempDir())
	s.put(t, "users", "a", `{"port":80}`)
	s.put(t, "users", "b", `{"port":81}`)
	from := open1(t, "http://"+s.address, nil)
	defer from.Close()
	users, stop := run(t, from, "users")
	defer stop()
	users.has(t, "a=10.0.0.1:80*1@ ready, b=10.0.0.1:81*1@ ready")
	s.stop()
	again := start(t, s.address, t.TempDir())
	again.put(t, "users", "c", `{"port":82}`)
	users.wait(t, "those who were there are kept beside who comes", func(s *seen) bool {
		return s.partial == "a=10.0.0.1:80*1@ ready, b=10.0.0.1:81*1@ ready, c=10.0.0.1:82*1@ ready"
	})
	users.mu.Lock()
	defer users.mu.Unlock()
	if users.set != "a=10.0.0.1:80*1@ ready, b=10.0.0.1:81*1@ ready" {
		t.Errorf("the set is %s", users.set)
	}
}

func TestWhoDoesNotComeBackIsLetGoOf(t *testing.T) {
	o := newOther(nil, "", nil, slog.New(slog.DiscardHandler))
	o.bounds = (&Config{}).bounds()
	tell := func(lines ...string) {
		t.Helper()
		for _, line := range lines {
			e, err := parse(line)
			if err != nil {
				t.Fatal(err)
			}
			o.event(e)
		}
	}
	want := func(when, list string, settled bool) {
		t.Helper()
		if v := o.view("users"); text(v.list) != list || v.settled != settled {
			t.Errorf("%s: %s, settled %v", when, text(v.list), v.settled)
		}
	}
	put := func(id string) string {
		return `{"event":"put","instance":{"service":"users","id":"` + id + `","address":"10.0.0.1","port":80}}`
	}
	const a, b = "a=10.0.0.1:80*1@ ready", "b=10.0.0.1:80*1@ ready"
	tell(`{"event":"reset"}`, put("a"), put("b"), `{"event":"synced","revision":"x-2","settled":true}`)
	want("at first", a+", "+b, true)
	tell(`{"event":"reset"}`, put("b"))
	want("while it is told", a+", "+b, true)
	tell(`{"event":"synced","revision":"y-1","settled":false}`)
	want("a new one that knows little", a+", "+b, false)
	tell(`{"event":"reset"}`, `{"event":"synced","revision":"z-0","settled":false}`)
	want("and another one", a+", "+b, false)
	tell(put("b"), `{"event":"heartbeat","revision":"z-1","settled":true}`)
	want("who has not come back", b, true)
	tell(`{"event":"delete","revision":"z-2","service":"users","id":"b"}`, `{"event":"synced","revision":"z-2","settled":true}`, `{"event":"of a newer one"}`)
	want("in the end", "", true)
	if o.seen != "z-2" {
		t.Errorf("it goes on from %s", o.seen)
	}
}

func TestAddressesOfAnotherRegistryAreBounded(t *testing.T) {
	for address, allowed := range map[string]map[string]bool{
		"http://10.0.0.9:9090":  {"10.0.0.1": true, "203.0.113.7": true, "127.0.0.1": false, "169.254.169.254": false, "::1": false, "0.0.0.0": false},
		"http://127.0.0.1:9090": {"10.0.0.1": true, "127.0.0.1": true, "::1": true, "169.254.169.254": false},
		"http://localhost:9090": {"127.0.0.1": true},
	} {
		for ip, may := range allowed {
			err := (&Config{Address: address}).bounds().Address(netip.MustParseAddr(ip))
			if (err == nil) != may {
				t.Errorf("%s of %s: %v", ip, address, err)
			}
		}
	}
}

func TestWhatIsSaidOfAnotherRegistry(t *testing.T) {
	for yaml, want := range map[string]string{
		"10.0.0.9:9090":                     "is no URL",
		"ftp://10.0.0.9":                    "is no URL of a registry",
		"http://10.0.0.9:9090/registry":     "holds more than the address",
		"http://me:pw@10.0.0.9":             "holds more than the address",
		"{address: http://a:1, token: 1}":   "",
		"{address: 'http://a:1', allow: x}": "x",
	} {
		var ps doc.Problems
		doc.Decode(doc.Parse("weir.yaml", []byte("registry: "+yaml), &ps).Get("registry"), &Config{}, &ps)
		if got := fmt.Sprint(ps.Sorted()); want != "" && !strings.Contains(got, want) {
			t.Errorf("%s: %s", yaml, got)
		}
	}
	from, err := source(t, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := from.Provider(discovery.Env{}, config.Service{Source: config.Ref{Scheme: "registry", Rest: "users"}}); err == nil || !strings.Contains(err.Error(), "there is no registry") {
		t.Error(err)
	}
	for rest, want := range map[string]string{"//users": "write registry:users", "": "is missing", "a/b": "is no name"} {
		if err := Definition().Schemes[0].Check(config.Ref{Scheme: "registry", Rest: rest}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", rest, err)
		}
	}
}

// One instance that cannot be read, as of a newer registry, costs the others nothing.
func TestAnInstanceThatCannotBeReadIsLeftOut(t *testing.T) {
	odd := `{"event":"put","revision":"x-2","instance":{"service":"users","id":"b","address":"10.0.0.2","port":9000,"zone":"a\u001b[2J"}}` + "\n"
	fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"event":"reset"}
{"event":"put","revision":"x-1","instance":{"service":"users","id":"a","address":"10.0.0.1","port":9000}}
`+odd+odd+`{"event":"synced","revision":"x-2","settled":true}
`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer fake.Close()
	log := &rawLog{}
	source, err := open(discovery.SourceEnv{Log: slog.New(log)}, &Config{Address: fake.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	s, stop := run(t, source, "users")
	s.has(t, "a=10.0.0.1:9000*1@ ready")
	stop()
	fake.CloseClientConnections()
	if n := strings.Count(log.String(), "an instance of another registry cannot be read"); n != 1 || strings.Contains(log.String(), "\x1b") || !strings.Contains(log.String(), "zone: holds what cannot be printed") {
		t.Errorf("told %d times:\n%q", n, log)
	}
}

// rawLog keeps records as they are given: handlers that escape what could move a cursor would hide that
// it was not escaped before.
type rawLog struct{ await.Text }

func (*rawLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *rawLog) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l *rawLog) WithGroup(string) slog.Handler          { return l }

func (l *rawLog) Handle(_ context.Context, r slog.Record) error {
	_, _ = fmt.Fprintln(l, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		_, _ = fmt.Fprintln(l, a.Value)
		return true
	})
	return nil
}

// A registry, or what stands before it, that refuses to begin anew too is trouble like any other, and not
// asked again at once for ever.
func TestARegistryThatIsAlwaysCompactedIsLeftAlone(t *testing.T) {
	compacted := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusGone)
		_, _ = io.WriteString(w, `{"code":"registry-compacted"}`)
	}))
	defer compacted.Close()
	source, err := open(discovery.SourceEnv{Log: slog.New(slog.DiscardHandler)}, &Config{Address: compacted.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	s, stop := run(t, source, "users")
	defer stop()
	s.wait(t, "the trouble is told, after which there is a pause", func(s *seen) bool { return s.looked != nil })
}
