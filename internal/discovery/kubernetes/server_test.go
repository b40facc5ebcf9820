package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// api answers as an API server does, of an old version: it knows no lists as streams. What a real one
// does is seen in test/cluster.
type api struct {
	t *testing.T
	*httptest.Server

	mu       sync.Mutex
	version  int
	objects  map[string]metav1.Object // by resource and name
	events   []event
	changed  chan struct{} // closed, and another one, with each event
	answer   func(w http.ResponseWriter) bool
	requests []string
}

type event struct {
	version  int
	resource string
	text     []byte
}

func startAPI(t *testing.T) *api {
	t.Helper()
	a := &api{t: t, objects: map[string]metav1.Object{}, changed: make(chan struct{}), version: 1}
	a.Server = httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(a.Close)
	return a
}

func (a *api) serve(w http.ResponseWriter, r *http.Request) {
	resource := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	query := r.URL.Query()
	a.mu.Lock()
	if query.Get("sendInitialEvents") == "" {
		a.requests = append(a.requests, strings.TrimSpace(r.URL.Path+" "+query.Get("watch")+" "+query.Get("labelSelector")+query.Get("fieldSelector")+" "+query.Get("timeout")))
	}
	answer := a.answer
	a.mu.Unlock()
	switch {
	case answer != nil && answer(w):
	case query.Get("sendInitialEvents") != "":
		status(w, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "sendInitialEvents is forbidden")
	case query.Get("watch") != "":
		a.watch(w, r, resource)
	default:
		a.list(w, resource)
	}
}

func status(w http.ResponseWriter, code int32, reason metav1.StatusReason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(code))
	_ = json.NewEncoder(w).Encode(metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message,
	})
}

func typeOf(resource string) (kind, version string) {
	if resource == "services" {
		return "Service", "v1"
	}
	return "EndpointSlice", "discovery.k8s.io/v1"
}

func (a *api) list(w http.ResponseWriter, resource string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	items := []any{}
	for _, name := range slices.Sorted(maps.Keys(a.objects)) {
		if strings.HasPrefix(name, resource+"/") {
			items = append(items, a.objects[name])
		}
	}
	kind, version := typeOf(resource)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"kind": kind + "List", "apiVersion": version, "metadata": map[string]string{"resourceVersion": fmt.Sprint(a.version)}, "items": items,
	})
}

func (a *api) watch(w http.ResponseWriter, r *http.Request, resource string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	flusher, _ := w.(http.Flusher)
	flusher.Flush()
	var from int
	_, _ = fmt.Sscan(r.URL.Query().Get("resourceVersion"), &from)
	for {
		a.mu.Lock()
		changed := a.changed
		for _, e := range a.events {
			if e.version > from && e.resource == resource {
				_, _ = w.Write(e.text)
				from = e.version
			}
		}
		a.mu.Unlock()
		flusher.Flush()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// put has the server hold an object, and tell of it.
func (a *api) put(object metav1.Object) { a.change(object, false) }

func (a *api) remove(object metav1.Object) { a.change(object, true) }

func (a *api) change(object metav1.Object, gone bool) {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	resource := "services"
	if _, ok := object.(*discoveryv1.EndpointSlice); ok {
		resource = "endpointslices"
	}
	name := resource + "/" + object.GetNamespace() + "/" + object.GetName()
	a.version++
	object.SetResourceVersion(fmt.Sprint(a.version))
	what := "ADDED"
	switch _, known := a.objects[name]; {
	case gone:
		what = "DELETED"
		delete(a.objects, name)
	case known:
		what = "MODIFIED"
		fallthrough
	default:
		a.objects[name] = object
	}
	a.event(resource, what, object)
}

// event tells watches of a change. a is locked.
func (a *api) event(resource, what string, object any) {
	kind, version := typeOf(resource)
	text, err := json.Marshal(object)
	if err != nil {
		a.t.Fatal(err)
	}
	typed := map[string]any{}
	if err := json.Unmarshal(text, &typed); err != nil {
		a.t.Fatal(err)
	}
	typed["kind"], typed["apiVersion"] = kind, version
	line, err := json.Marshal(map[string]any{"type": what, "object": typed})
	if err != nil {
		a.t.Fatal(err)
	}
	a.events = append(a.events, event{a.version, resource, append(line, '\n')})
	close(a.changed)
	a.changed = make(chan struct{})
}

// answers has requests answered in another way; nil: as ever.
func (a *api) answers(in func(w http.ResponseWriter) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = in
}

// asked gives the requests since forget, sorted, each once.
func (a *api) asked() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := slices.Clone(a.requests)
	slices.Sort(list)
	return strings.Join(slices.Compact(list), "\n")
}

func (a *api) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests = nil
}

// sourceOf opens the source of an API server.
func (a *api) sourceOf(settings Config) *source {
	a.t.Helper()
	settings.Kubeconfig = filepath.Join(a.t.TempDir(), "kubeconfig")
	text := "{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: c, user: u, namespace: home}}], " +
		"users: [{name: u, user: {token: t}}], clusters: [{name: c, cluster: {server: '" + a.URL + "'}}]}"
	if err := os.WriteFile(settings.Kubeconfig, []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
	opened, err := open(discovery.SourceEnv{Log: slog.New(slog.DiscardHandler)}, &settings)
	if err != nil {
		a.t.Fatal(err)
	}
	s, ok := opened.(*source)
	if !ok {
		a.t.Fatalf("the source is a %T", opened)
	}
	a.t.Cleanup(s.Close)
	return s
}

// run is a provider that runs.
type run struct {
	t     *testing.T
	sets  chan string
	looks chan error
	log   *await.Text
	stop  context.CancelFunc
	done  chan error
}

func (r *run) env() discovery.Env {
	return discovery.Env{Log: slog.New(slog.NewTextHandler(r.log, nil)), Looked: func(err error) { r.looks <- err }}
}

func newRun(t *testing.T) *run {
	t.Helper()
	return &run{t: t, sets: make(chan string, 1000), looks: make(chan error, 1000), log: &await.Text{}, done: make(chan error, 1)}
}

func (r *run) start(p discovery.Provider) *run {
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	go func() { r.done <- p.Run(ctx, func(list []discovery.Endpoint) { r.sets <- show(list) }) }()
	r.t.Cleanup(r.end)
	return r
}

// end waits for the end of the provider.
func (r *run) end() {
	r.t.Helper()
	r.stop()
	if r.done == nil {
		return
	}
	if err := await.From(r.t, "its end", r.done); err != nil {
		r.t.Errorf("it ended with %v", err)
	}
	r.done = nil
}

// set waits for a set.
func (r *run) set(want string) {
	r.t.Helper()
	if got := await.From(r.t, want, r.sets); got != want {
		r.t.Fatalf("the set is %q, want %q", got, want)
	}
}

// becomes waits for a set, after others, for Services and slices are told of by a watch each.
func (r *run) becomes(want string) {
	r.t.Helper()
	await.That(r.t, want, func() bool {
		select {
		case got := <-r.sets:
			return got == want
		default:
			return false
		}
	})
}

// looked waits until a look was told of with an error that has the text; "" is a good one.
func (r *run) looked(want string) {
	r.t.Helper()
	for {
		err := await.From(r.t, "a look: "+want, r.looks)
		if err == nil && want == "" || err != nil && want != "" && strings.Contains(err.Error(), want) {
			return
		}
	}
}

func (a *api) run(s *source, rest string) *run {
	a.t.Helper()
	r := newRun(a.t)
	p, err := s.Provider(r.env(), config.Service{Source: config.Ref{Scheme: scheme, Rest: rest}})
	if err != nil {
		a.t.Fatal(err)
	}
	return r.start(p)
}

func TestASetFollowsItsSlices(t *testing.T) {
	a := startAPI(t)
	a.put(aService("http:80>8080"))
	a.put(aSlice("a", 0, "http:8080", "10.0.0.1"))
	r := a.run(a.sourceOf(defaults()), "shop/users:http")
	r.set("10.0.0.1:8080")
	r.looked("")
	a.put(aSlice("a", 0, "http:8080", "10.0.0.1", "10.0.0.2"))
	r.set("10.0.0.1:8080, 10.0.0.2:8080")
	b := aSlice("b", 0, "http:9000", "10.0.0.3")
	a.put(b)
	r.set("10.0.0.1:8080, 10.0.0.2:8080, 10.0.0.3:9000")
	a.put(aSlice("a", 0, "http:8080", "10.0.0.1 !ready serving terminating", "10.0.0.2"))
	r.set("10.0.0.1:8080 draining, 10.0.0.2:8080, 10.0.0.3:9000")
	a.remove(b)
	r.set("10.0.0.1:8080 draining, 10.0.0.2:8080")
	a.put(aService("web:80>8080"))
	r.set("")
	r.looked("has no port http; it has web (80)")
	a.put(aService("http:80>8080"))
	r.set("10.0.0.1:8080 draining, 10.0.0.2:8080")
}

func TestAServiceThatIsNotThereIsWaitedFor(t *testing.T) {
	a := startAPI(t)
	r := a.run(a.sourceOf(defaults()), "shop/users:http")
	r.set("")
	r.looked("no Service users in the namespace shop")
	a.put(aService("http:80>8080"))
	r.looked("")
	a.put(aSlice("a", 0, "http:8080", "10.0.0.1"))
	r.set("10.0.0.1:8080")
	a.remove(aService())
	r.set("")
	r.looked("no Service users in the namespace shop")
}

func TestWhatIsAskedFor(t *testing.T) {
	const slicesOf, servicesOf = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices true", "/api/v1/namespaces/shop/services true"
	a := startAPI(t)
	s := a.sourceOf(defaults())
	asks := func(want ...string) {
		t.Helper()
		await.That(t, strings.Join(want, ", "), func() bool {
			lines := strings.Split(a.asked(), "\n")
			return !slices.ContainsFunc(want, func(line string) bool { return !slices.Contains(lines, line) })
		})
	}
	runs := []*run{a.run(s, "shop/users:http")}
	asks(slicesOf+" kubernetes.io/service-name in (users)", servicesOf+" metadata.name=users")
	for line := range strings.SplitSeq(a.asked(), "\n") {
		if isList := !strings.Contains(line, " true"); isList && !strings.HasSuffix(line, " "+listTime.String()) {
			t.Errorf("a list without an end is asked for: %s", line)
		}
	}
	a.forget()
	runs = append(runs, a.run(s, "shop/orders:http"))
	asks(slicesOf+" kubernetes.io/service-name in (orders,users)", servicesOf)
	if strings.Contains(a.asked(), "metadata.name") {
		t.Errorf("for two Services it asked\n%s", a.asked())
	}
	a.forget()
	for i := range mostSelected {
		runs = append(runs, a.run(s, fmt.Sprintf("shop/users%d:http", i)))
	}
	asks(slicesOf, servicesOf)
	for _, r := range runs {
		r.looked("no Service")
	}
	for _, r := range runs {
		r.end()
	}
	if len(s.watches) > 0 {
		t.Errorf("there are still watches: %v", s.watches)
	}
}

// standing tells whether the slices and Services of a source are watched.
func standing(s *source) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.watches {
		w.mu.Lock()
		seen := w.seen
		w.mu.Unlock()
		if slices.Contains(seen[:], selection{}) {
			return false
		}
	}
	return true
}

func TestOneWatchOfTheCluster(t *testing.T) {
	a := startAPI(t)
	a.put(aService("http:80>8080"))
	a.put(aSlice("a", 0, "http:8080", "10.0.0.1"))
	settings := defaults()
	settings.Watch = wholly
	s := a.sourceOf(settings)
	r, other := a.run(s, "shop/users:http"), a.run(s, "elsewhere/users:http")
	r.set("10.0.0.1:8080")
	other.looked("no Service users in the namespace elsewhere")
	if got := a.asked(); strings.Contains(got, "namespaces/") {
		t.Errorf("it asked\n%s", got)
	}
}

func TestTheLastSetStaysWhileTheServerCannotBeAsked(t *testing.T) {
	a := startAPI(t)
	a.put(aService("http:80>8080"))
	a.put(aSlice("a", 0, "http:8080", "10.0.0.1"))
	r := a.run(a.sourceOf(defaults()), "shop/users:http")
	r.set("10.0.0.1:8080")
	var taken atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { taken.Add(1) }))
	t.Cleanup(elsewhere.Close)
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter) bool
		want   string
	}{
		"moved": {func(w http.ResponseWriter) bool { // whither a token would be taken along
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		}, "of the namespace shop"},
		"forbidden": {func(w http.ResponseWriter) bool {
			status(w, http.StatusForbidden, metav1.StatusReasonForbidden, "no")
			return true
		}, "needs a Role"},
		"unknown": {func(w http.ResponseWriter) bool {
			status(w, http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "Unauthorized")
			return true
		}, "Unauthorized"},
		"garbage": {func(w http.ResponseWriter) bool {
			_, _ = io.WriteString(w, "<html>")
			return true
		}, "of the namespace shop"},
		"broken": {func(w http.ResponseWriter) bool {
			w.WriteHeader(http.StatusInternalServerError)
			return true
		}, "of the namespace shop"},
	} {
		a.answers(c.answer)
		a.CloseClientConnections()
		r.looked(c.want)
		a.answers(nil)
		r.looked("")
		if len(r.sets) > 0 {
			t.Errorf("%s: the set became %q", name, <-r.sets)
		}
	}
	if taken.Load() > 0 {
		t.Errorf("a redirect was followed %d times", taken.Load())
	}
	a.answers(func(w http.ResponseWriter) bool { return false })
	a.put(aSlice("a", 0, "http:8080", "10.0.0.2"))
	r.set("10.0.0.2:8080")
}

// TestAVersionThatIsTooOld shows that everything is listed anew where a watch cannot go on (410 Gone).
func TestAVersionThatIsTooOld(t *testing.T) {
	a := startAPI(t)
	a.put(aService("http:80>8080"))
	a.put(aSlice("a", 0, "http:8080", "10.0.0.1"))
	r := a.run(a.sourceOf(defaults()), "shop/users:http")
	r.set("10.0.0.1:8080")
	a.mu.Lock()
	a.objects["endpointslices/shop/a"] = aSlice("a", 9, "http:8080", "10.0.0.7") // which no watch tells of
	a.version += 10
	a.event("endpointslices", "ERROR", metav1.Status{Status: metav1.StatusFailure, Code: http.StatusGone, Reason: metav1.StatusReasonExpired})
	a.events[len(a.events)-1].text = []byte(`{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","code":410,"reason":"Expired"}}` + "\n")
	a.mu.Unlock()
	r.set("10.0.0.7:8080")
}

func TestABookmarkConfirmsASet(t *testing.T) {
	a := startAPI(t)
	a.put(aService("http:80>8080"))
	a.put(aSlice("a", 0, "http:8080", "10.0.0.1"))
	s := a.sourceOf(defaults())
	r := a.run(s, "shop/users:http")
	r.set("10.0.0.1:8080")
	await.That(t, "all is seen", func() bool { return standing(s) })
	for len(r.looks) > 0 {
		<-r.looks
	}
	a.mu.Lock()
	a.version++
	a.event("endpointslices", "BOOKMARK", &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{ResourceVersion: fmt.Sprint(a.version)}})
	a.mu.Unlock()
	r.looked("")
	if len(r.sets) > 0 {
		t.Errorf("the set became %q", <-r.sets)
	}
}

// byDNS is the provider of a URL as it is written.
type byDNS struct{}

func (byDNS) Run(ctx context.Context, set func([]discovery.Endpoint)) error {
	set([]discovery.Endpoint{{Address: "dns:80", Weight: 1}})
	<-ctx.Done()
	return nil
}

func (a *api) claim(s *source, scheme, rest string) *run {
	a.t.Helper()
	r := newRun(a.t)
	own := config.Service{Source: config.Ref{Scheme: scheme, Rest: rest}}
	if !claims(s.config, true, own) {
		a.t.Fatalf("%s is not claimed", own.Source)
	}
	return r.start(s.Claim(r.env(), own, byDNS{}))
}

func TestANameThatIsAServiceStandsForItsPods(t *testing.T) {
	a := startAPI(t)
	s := a.sourceOf(defaults())
	r := a.claim(s, "https", "//users.shop.svc:80")
	r.set("dns:80") // there is no such Service
	a.put(aSlice("a", 0, "http:8080", "10.0.0.1"))
	a.put(aService("http:80>8080"))
	r.becomes("10.0.0.1:8080 name=users.shop.svc")
	alias := aService()
	alias.Spec.Type, alias.Spec.ExternalName = corev1.ServiceTypeExternalName, "db.example.com"
	a.put(alias)
	r.set("dns:80")
	if r.log.String() != "" {
		t.Errorf("it warned: %s", r.log)
	}
}

func TestANameThatMayNotBeAskedForIsWarnedOfOnce(t *testing.T) {
	a := startAPI(t)
	forbid := func(w http.ResponseWriter) bool {
		status(w, http.StatusForbidden, metav1.StatusReasonForbidden, "no")
		return true
	}
	a.answers(forbid)
	a.put(aService("http:80>8080"))
	a.put(aSlice("a", 0, "http:8080", "10.0.0.1"))
	r := a.claim(a.sourceOf(defaults()), "http", "//users.shop.svc:80")
	r.set("dns:80")
	await.That(t, "it has warned", func() bool { return strings.Contains(r.log.String(), "kube-proxy picks") })
	a.forget()
	await.That(t, "it asks again", func() bool { return strings.Contains(a.asked(), "services") })
	a.answers(nil)
	r.set("10.0.0.1:8080")
	if n := strings.Count(r.log.String(), "kube-proxy picks"); n != 1 {
		t.Errorf("it warned %d times: %s", n, r.log)
	}
}

func TestWhatIsNotClaimed(t *testing.T) {
	settings := defaults()
	for ref, service := range map[string]config.Service{
		"an address":          {Source: config.Ref{Scheme: "http", Rest: "//10.0.0.1:80"}},
		"a name of the world": {Source: config.Ref{Scheme: "http", Rest: "//example.com"}},
		"an SRV record":       {Source: config.Ref{Scheme: "srv", Rest: "users"}},
		"a resolver":          {Source: config.Ref{Scheme: "http", Rest: "//users"}, Resolver: &config.Resolver{}},
		"a list":              {},
	} {
		if claims(&settings, true, service) {
			t.Errorf("%s is claimed", ref)
		}
	}
	users := config.Service{Source: config.Ref{Scheme: "http", Rest: "//users"}}
	t.Setenv(hostVariable, "")
	if claims(&settings, false, users) {
		t.Error("outside of a cluster names are claimed")
	}
	t.Setenv(hostVariable, "10.96.0.1")
	if !claims(&settings, false, users) {
		t.Error("in a pod they are not")
	}
	settings.Names = false
	if claims(&settings, true, users) {
		t.Error("and where that is switched off they are")
	}
}

func TestAPodWithoutATokenSaysSo(t *testing.T) {
	t.Setenv(hostVariable, "127.0.0.1")
	t.Setenv("KUBERNETES_SERVICE_PORT", "1")
	settings := defaults()
	opened, err := open(discovery.SourceEnv{Log: slog.New(slog.DiscardHandler)}, &settings)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if _, err := opened.Provider(discovery.Env{}, config.Service{Source: config.Ref{Scheme: scheme, Rest: "shop/users"}}); err == nil || !strings.Contains(err.Error(), "automountServiceAccountToken") {
		t.Errorf("a reference: %v", err)
	}
	r := newRun(t)
	s, _ := opened.(*source)
	r.start(s.Claim(r.env(), config.Service{Source: config.Ref{Scheme: "http", Rest: "//users:80"}}, byDNS{}))
	r.set("dns:80")
	if !strings.Contains(r.log.String(), "kube-proxy picks") {
		t.Errorf("a name: %s", r.log)
	}
}

func TestSettings(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"":                                     func(*Config) {},
		`watch is "all"`:                       func(c *Config) { c.Watch = "all" },
		"reads all namespaces":                 func(c *Config) { c.Watch, c.Namespaces = wholly, []string{"shop"} },
		"a context is one of a kubeconfig":     func(c *Config) { c.Context = "x" },
		`"Shop" cannot be`:                     func(c *Config) { c.Namespaces = []string{"Shop"} },
		"the namespace shop is none of orders": func(c *Config) { c.Namespaces = []string{"orders"} },
		"the namespace is missing":             func(*Config) {},
	} {
		settings := defaults()
		change(&settings)
		rest := "shop/users"
		if want == "the namespace is missing" {
			rest = "users"
		}
		s, err := open(discovery.SourceEnv{Log: slog.New(slog.DiscardHandler), Checked: true}, &settings)
		if err == nil {
			_, err = s.Provider(discovery.Env{}, config.Service{Source: config.Ref{Scheme: scheme, Rest: rest}})
			s.Close()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	settings := defaults()
	settings.Kubeconfig = filepath.Join(t.TempDir(), "none")
	if _, err := open(discovery.SourceEnv{}, &settings); err == nil || !strings.Contains(err.Error(), "the kubeconfig") {
		t.Errorf("a kubeconfig that is not there: %v", err)
	}
	if _, err := open(discovery.SourceEnv{Checked: true}, &settings); err != nil {
		t.Errorf("a check reads it: %v", err)
	}
}
