// Package compile turns a validated config into a snapshot. It is pure except for what it keeps from the running
// snapshot: services with their endpoints and counters, functions with their warm instances, and connection pools live
// on by their identity across snapshots.
//
// Compile makes a Pending snapshot whose new parts are already alive, so that new parts are ready before old ones stop.
// Commit then ends the parts that are no longer used. Abort ends the parts that were made for the Pending snapshot and
// leaves everything as it was.
package compile

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/queue"
	"github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/base/shelf"
	"github.com/weir-gateway/weir/internal/base/sockets"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/traffic/registryapi"
	"github.com/weir-gateway/weir/internal/traffic/route"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// Parts are the kinds of filters, providers, functions, auths and clouds that this program was built with.
type Parts struct {
	Filters   []filter.Definition
	Providers []discovery.Definition
	Functions []function.Definition
	Auths     []auth.Definition
	// Clouds are the platforms that a config may have settings for.
	Clouds []config.Kind
}

// Vocabulary returns what these parts add to the config language.
func (p Parts) Vocabulary() config.Vocabulary {
	v := config.Vocabulary{Clouds: p.Clouds}
	for _, d := range p.Filters {
		v.Filters = append(v.Filters, d.Kind())
	}
	for _, d := range p.Providers {
		if kind, ok := d.Vocabulary(); ok {
			v.Discoveries = append(v.Discoveries, kind)
		}
		for _, s := range d.Schemes {
			v.Schemes = append(v.Schemes, s.Scheme)
		}
	}
	for _, d := range p.Functions {
		kind := config.Kind{Name: d.Kind, Summary: d.Summary, New: d.New}
		for _, s := range d.Schemes() {
			kind.Schemes = append(kind.Schemes, s.Name)
			v.Schemes = append(v.Schemes, s)
		}
		v.Functions = append(v.Functions, kind)
	}
	for _, d := range p.Auths {
		v.Auths = append(v.Auths, d.Vocabulary())
	}
	v.Schemes = append(v.Schemes, dirScheme(), config.ComposeScheme())
	return v
}

func (p Parts) filter(name string) (filter.Definition, bool) {
	return find(p.Filters, func(d filter.Definition) bool { return d.Name == name })
}

func (p Parts) function(kind string) (function.Definition, bool) {
	return find(p.Functions, func(d function.Definition) bool { return d.Kind == kind })
}

// provider finds the provider that knows the endpoints of a service, by the scheme of its source. A service that lists
// its endpoints has no scheme; the provider of http serves such lists, too.
func (p Parts) provider(s *config.Service) (discovery.Definition, discovery.Scheme, bool) {
	name := cmp.Or(s.Source.Scheme, "http")
	for _, d := range p.Providers {
		if scheme, ok := find(d.Schemes, func(s discovery.Scheme) bool { return s.Name == name }); ok {
			return d, scheme, true
		}
	}
	return discovery.Definition{}, discovery.Scheme{}, false
}

func find[T any](list []T, is func(T) bool) (T, bool) {
	if i := slices.IndexFunc(list, is); i >= 0 {
		return list[i], true
	}
	var none T
	return none, false
}

// Options are what a Compiler needs in addition to its parts.
type Options struct {
	Log *slog.Logger
	// AccessLog holds what the access log needs that is not part of a config.
	AccessLog AccessLog
	// Traces holds what the tracer needs that is not part of a config.
	Traces Traces
	// Metrics provides the meters of compiled parts. If it is nil, nothing is counted.
	Metrics *telemetry.Metrics
	// Secret resolves secrets: secret.Resolve, or secret.Placeholder if nothing may be read.
	Secret func(secret.Template) (secret.Value, error)
	// Zone is the zone of this gateway if no config names one; "" if it is unknown.
	Zone string
	// Node is the machine that this gateway runs on, by the name that sources use; "" if it is unknown.
	Node string
	// Shelf keeps what was heard from outside sources beyond the end of the process; nil: nothing is kept.
	Shelf *shelf.Shelf
	// Queue keeps the jobs of routes that send later; nil: there can be no jobs.
	Queue *queue.Queue
	// Sockets know the WebSockets that end in this process, whichever config they began under.
	Sockets *sockets.Hub
	// Registry is this process's own registry, which a config may open; nil: there is none.
	Registry *registry.Registry
	// KeptAge is how long endpoints count that no source has confirmed since the start; 0: a day.
	KeptAge time.Duration
	// Own returns the addresses on which this process listens; backends with bounds may not be called there. nil: it
	// listens nowhere.
	Own func() []netip.AddrPort

	check bool // nothing may be read
}

// Compiler compiles one config after another. It is used by one goroutine.
type Compiler struct {
	parts   Parts
	options Options
	secrets *secrets
	kept    kept

	registryAPI *registryapi.API // the API that serves; nil: none
}

// New makes a Compiler that does not run anything yet.
func New(parts Parts, options Options) *Compiler {
	if options.KeptAge <= 0 {
		options.KeptAge = 24 * time.Hour
	}
	remembered := newSecrets(options)
	options.Secret = remembered.get
	return &Compiler{parts: parts, options: options, secrets: remembered, kept: kept{}}
}

// Files returns the files that the last config named as secrets and certificates, with the digest that each file had
// before it was read (secret.FileDigest).
func (c *Compiler) Files() map[string][sha256.Size]byte { return c.secrets.all() }

// Pending is a compiled snapshot that does not serve yet. Call exactly one of Commit and Abort.
type Pending struct {
	Snapshot *snapshot.Snapshot
	compiler *Compiler
	build    *build
}

// Commit makes the pending parts the kept ones, tunes the parts that were already kept, and returns a function that
// ends those that are no longer used. That function waits for requests under way until ctx ends. Call Commit after the
// swap, and the function that it returns once no request holds the previous snapshot.
func (p *Pending) Commit() (release func(ctx context.Context)) {
	p.compiler.secrets.keep()
	end, places := p.compiler.kept.commit(p.build.used), p.compiler.options.Shelf
	return func(ctx context.Context) { // holds nothing of p: a long stream can delay this call
		end(ctx)
		places.Tidy()
	}
}

// Abort ends what was made for this snapshot.
func (p *Pending) Abort(ctx context.Context) { p.build.used.abort(ctx) }

// Close ends everything that is kept.
func (c *Compiler) Close(ctx context.Context) { c.kept.commit(newUsed())(ctx) }

// Compile builds cfg, which must be valid and is not changed. If the problems contain errors, there is no Pending and
// everything that was started for it has ended.
func (c *Compiler) Compile(cfg *config.Config, digest string) (*Pending, []doc.Problem) {
	b := c.build(cfg, true)
	s := b.snapshot(digest)
	if b.problems.Failed() {
		b.used.abort(context.Background())
		return nil, b.problems.Sorted()
	}
	b.awaitFeeds()
	b.awaitKeys()
	c.secrets.warn(&b.problems)
	return &Pending{Snapshot: s, compiler: c, build: b}, b.problems.Sorted()
}

// Check builds cfg and returns what is wrong with it. It starts nothing, connects to nothing and reads nothing but the
// folders and programs that cfg names by path. The snapshot can be explained, but not served.
func Check(parts Parts, cfg *config.Config, digest string) (*snapshot.Snapshot, []doc.Problem) {
	c := New(parts, Options{Log: slog.New(slog.DiscardHandler), Secret: secret.Placeholder, check: true})
	b := c.build(cfg, false)
	s := b.snapshot(digest)
	b.used.abort(context.Background())
	return s, b.problems.Sorted()
}

// build is one run of the compiler.
type build struct {
	compiler *Compiler
	cfg      *config.Config
	used     *used
	feeds    []*feed                           // started by this build
	heard    map[string]func() telemetry.Heard // by kind and identity
	problems doc.Problems
	start    bool // start the parts; false: only check them
	// told are the errors that were already reported, by the pointer of their function, service, composition, auth or
	// discovery.
	told    map[any]error
	ways    map[string]*way     // by the name of the auth
	managed map[string][]string // folded names of the header fields that tell backends who is calling, by group
	awaited []awaited
	// meanings and called cache what was found for earlier routes.
	meanings map[meaning]any
	called   map[called]calledService
	noted    map[string]*notedService // by name
	// inlined are the functions that routes name although the config does not declare them.
	inlined []*config.Function
}

func (c *Compiler) build(cfg *config.Config, start bool) *build {
	c.secrets.begin()
	return &build{
		compiler: c, cfg: cfg, used: newUsed(), start: start, told: map[any]error{}, ways: map[string]*way{}, managed: map[string][]string{},
		meanings: map[meaning]any{}, called: map[called]calledService{}, noted: map[string]*notedService{}, heard: map[string]func() telemetry.Heard{},
	}
}

// rules are the matches of each listener, by its name.
type rules map[string][]route.Rule[*snapshot.Route]

func (b *build) snapshot(digest string) *snapshot.Snapshot {
	s := &snapshot.Snapshot{
		Digest: digest, Trusted: b.cfg.TrustedProxies,
		Verbose: b.cfg.Problems == config.VerboseProblems, InFlight: b.cfg.Limits.InFlight,
	}
	b.telemetry(s)
	b.openRegistry()
	b.streams()
	b.functions(s)
	b.sources()
	b.services()
	b.compositions()
	b.auths(s)
	matches := make(rules, len(b.cfg.Listeners))
	for _, l := range b.cfg.Listeners {
		matches[l.Name] = make([]route.Rule[*snapshot.Route], 0, len(b.cfg.Routes))
	}
	for i := range b.cfg.Routes {
		target := b.route(&b.cfg.Routes[i], matches)
		if target.Later != nil {
			if s.Lanes == nil {
				s.Lanes = map[string]*filter.Later{}
			}
			s.Lanes[target.Name] = target.Later
		}
		s.BatchBytes = max(s.BatchBytes, target.PartsBytes)
		if target.Way != nil {
			if s.Ways == nil {
				s.Ways = map[string]sockets.Way{}
			}
			s.Ways[target.Name] = target.Way
		}
	}
	b.noteInlined(s)
	for _, l := range b.cfg.Listeners {
		switch {
		case l.API == config.LambdaAPIName:
			s.Listeners = append(s.Listeners, b.lambdaAPI(l, s))
		case l.API == config.RegistryName:
			s.Listeners, s.Vital = append(s.Listeners, b.registryListener(l)), l.Socket
		case l.Routed():
			s.Listeners = append(s.Listeners, b.listener(l, matches[l.Name]))
		}
	}
	b.supersede()
	s.Services = b.serviceNotes()
	for _, name := range slices.Sorted(maps.Keys(b.heard)) {
		s.Heard = append(s.Heard, b.heard[name])
	}
	return s
}

// placeOf returns the position of the cause of err, or else at.
func placeOf(err error, at doc.Pos) doc.Pos {
	if unread, ok := errors.AsType[*config.SecretError](err); ok && unread.Pos.File != "" {
		return unread.Pos
	}
	return at
}

// streams refuses the streams of files, which this version cannot serve (decision 0009). The streams of objects stay:
// their status says that nothing serves them.
func (b *build) streams() {
	for _, s := range b.cfg.Streams {
		if s.Origin.Object == "" {
			b.problems.Add(doc.Problem{
				Pos: s.Origin.Pos, What: fmt.Sprintf("the stream %q cannot be served", s.Name),
				Why: "this version serves HTTP only; it is refused rather than left out", Fix: "remove it, or wait for the version that has streams",
			})
		}
	}
}

func (b *build) listener(l config.Listener, matches []route.Rule[*snapshot.Route]) *snapshot.Listener {
	table, problems := route.Build(matches)
	for _, p := range problems {
		b.problems.Add(p)
	}
	return &snapshot.Listener{
		Name: l.Name, Socket: l.Socket, Hostname: l.Hostname, TLS: l.TLS != nil, Policy: b.policy(l), Origin: l.Origin,
		Table: table, WrongMethod: b.wrongMethod(l.Name),
	}
}

// wrongMethod returns 405 unless every route of the listener comes from a source that wants 404.
func (b *build) wrongMethod(listener string) int {
	for i := range b.cfg.Routes {
		r := &b.cfg.Routes[i]
		if r.Policy.WrongMethod != http.StatusNotFound && attached(r, listener) {
			return http.StatusMethodNotAllowed
		}
	}
	return http.StatusNotFound
}

// attached reports whether a route belongs to a listener. A route that names no listener belongs to all of them.
func attached(r *config.Route, listener string) bool {
	return len(r.Listeners) == 0 || slices.Contains(r.Listeners, listener)
}
