package telemetry

import (
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// DefaultSeries is how many routes, and how many backends, may have series of their own.
const DefaultSeries = 1000

// Names for meters that have no name of their own.
const (
	// NoRoute is the route of requests that no route matched, such as in tests of configs.
	NoRoute = "none"
	// Others is the name of the meter that all further ones share when there are more than may have series of their
	// own.
	Others = "others"
)

// Metrics are all meters of a process. It is safe for concurrent use; a nil *Metrics returns nil meters.
type Metrics struct {
	registry  *prometheus.Registry
	sleep     func(time.Duration) // time.Sleep, except in tests
	configs   configs
	queue     queues
	checks    Checks
	leases    registries
	discovery Discovery
	none      *Route
	routes    family[Route]
	backends  family[Backend]
	funcs     family[Function]
	sockets   family[Socket]
	keySets   family[KeySet]
	steps     family[StepCache]
}

// New makes metrics that have counted nothing yet. version is the program's own.
func New(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), none: newRoute(NoRoute)}
	m.sleep = time.Sleep //nolint:forbidigo // a scrape rests for others, and waits for nothing
	m.routes.make, m.routes.most = newRoute, DefaultSeries
	m.backends.make, m.backends.most = func(name string) *Backend { return &Backend{name: name} }, DefaultSeries
	m.funcs.make, m.funcs.most = func(name string) *Function { return &Function{name: name} }, DefaultSeries
	m.sockets.make, m.sockets.most = func(name string) *Socket { return &Socket{name: name} }, DefaultSeries
	m.keySets.make, m.keySets.most = func(issuer string) *KeySet { return &KeySet{issuer: issuer} }, DefaultSeries
	m.steps.make, m.steps.most = newStepCache, DefaultSeries
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildInfo(version), newGathering(m),
	)
	return m
}

// buildInfo is 1, with what the program was built from as labels.
func buildInfo(version string) prometheus.Collector {
	labels := prometheus.Labels{"version": version, "goversion": "", "revision": ""}
	if info, ok := debug.ReadBuildInfo(); ok {
		labels["goversion"] = info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				labels["revision"] = s.Value
			}
		}
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "weir_build_info", Help: "What this program was built from.", ConstLabels: labels})
	g.Set(1)
	return g
}

// Handler answers scrapes, in OpenMetrics or the text form, compressed with gzip if the scraper accepts it. A scrape of
// many series rests again and again, so that requests do not wait for it.
func (m *Metrics) Handler() http.Handler { return scrapes(m.registry, m.sleep) }

// Gatherer returns what Handler shows, for tests.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Register adds a metric with a single value: a gauge that is read at each scrape. It panics if there is already one of
// that name.
func (m *Metrics) Register(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

// RegisterCounter is Register for a value that only grows.
func (m *Metrics) RegisterCounter(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, value))
}

// Unmatched returns the meter of requests that no route matched.
func (m *Metrics) Unmatched() *Route {
	if m == nil {
		return nil
	}
	return m.none
}

// Route returns the meter of a route. The caller gives it back by calling release; when the last user has done so, its
// series disappear. Backend, Function, Socket, KeySet and StepCache work alike.
func (m *Metrics) Route(name string) (r *Route, release func()) {
	switch {
	case m == nil:
		return nil, func() {}
	case name == NoRoute:
		return m.none, func() {}
	}
	return m.routes.take(name)
}

// Backend returns the meter of a backend.
func (m *Metrics) Backend(name string) (b *Backend, release func()) {
	if m == nil {
		return nil, func() {}
	}
	return m.backends.take(name)
}

// Function returns the meter of a function.
func (m *Metrics) Function(name string) (f *Function, release func()) {
	if m == nil {
		return nil, func() {}
	}
	return m.funcs.take(name)
}

// Socket returns the meter of a socket.
func (m *Metrics) Socket(name string) (s *Socket, release func()) {
	if m == nil {
		return nil, func() {}
	}
	return m.sockets.take(name)
}

// KeySet returns the meter of an issuer's keys.
func (m *Metrics) KeySet(issuer string) (k *KeySet, release func()) {
	if m == nil {
		return nil, func() {}
	}
	return m.keySets.take(issuer)
}

// family has the meters of one kind, by name. Each exists as long as it has a user.
type family[M any] struct {
	make func(name string) *M
	most int // how many may have a name of their own

	mu      sync.Mutex
	members map[string]*member[M]
}

type member[M any] struct {
	meter *M
	users int
}

func (f *family[M]) take(name string) (*M, func()) {
	name = strings.ToValidUTF8(name, "\uFFFD")
	f.mu.Lock()
	defer f.mu.Unlock()
	found := f.members[name]
	if found == nil && len(f.members) >= f.most {
		name = Others
		found = f.members[name]
	}
	if found == nil {
		if f.members == nil {
			f.members = map[string]*member[M]{}
		}
		found = &member[M]{meter: f.make(name)}
		f.members[name] = found
	}
	found.users++
	return found.meter, sync.OnceFunc(func() { f.release(name) })
}

func (f *family[M]) release(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.members[name]
	if m.users--; m.users == 0 {
		delete(f.members, name)
	}
}

// all returns the meters in the order of their names.
func (f *family[M]) all() []*M {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]*M, 0, len(f.members))
	for _, name := range slices.Sorted(maps.Keys(f.members)) {
		list = append(list, f.members[name].meter)
	}
	return list
}

// gathering reads all meters for a scrape.
type gathering struct {
	metrics   *Metrics
	routes    routeDescs
	backends  backendDescs
	functions functionDescs
	sockets   socketDescs
	keySets   keySetDescs
	configs   configDescs
	queue     queueDescs
	checks    checkDescs
	registry  registryDescs
	discovery *prometheus.Desc
	steps     *prometheus.Desc
}

func newGathering(m *Metrics) *gathering {
	return &gathering{
		m, newRouteDescs(), newBackendDescs(), newFunctionDescs(), newSocketDescs(), newKeySetDescs(), newConfigDescs(), newQueueDescs(), newCheckDescs(), newRegistryDescs(), newDiscoveryDesc(), newStepCacheDesc(),
	}
}

// Describe sends nothing: what is gathered changes with the config.
func (*gathering) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (g *gathering) Collect(out chan<- prometheus.Metric) {
	g.metrics.none.collect(&g.routes, out)
	sleep, room := g.metrics.sleep, DefaultSeries
	collectEach(g.metrics.routes.all(), sleep, func(r *Route) { r.collect(&g.routes, out) })
	collectEach(g.metrics.backends.all(), sleep, func(b *Backend) { b.collect(&g.backends, &room, out) })
	collectEach(g.metrics.funcs.all(), sleep, func(f *Function) { f.collect(&g.functions, out) })
	collectEach(g.metrics.sockets.all(), sleep, func(s *Socket) { s.collect(&g.sockets, out) })
	collectEach(g.metrics.keySets.all(), sleep, func(k *KeySet) { k.collect(&g.keySets, out) })
	collectEach(g.metrics.steps.all(), sleep, func(s *StepCache) { s.collect(g.steps, out) })
	g.metrics.configs.collect(&g.configs, out)
	g.metrics.queue.collect(&g.queue, out)
	g.metrics.checks.collect(&g.checks, out)
	g.metrics.leases.collect(&g.registry, out)
	g.metrics.discovery.collect(g.discovery, out)
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

func counter(d *prometheus.Desc, n uint64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// when is a gauge of a time as Prometheus represents it, 0 for never.
func when(d *prometheus.Desc, at time.Time, labels ...string) prometheus.Metric {
	if at.IsZero() {
		return gauge(d, 0, labels...)
	}
	return gauge(d, float64(at.UnixMilli())/1000, labels...)
}
