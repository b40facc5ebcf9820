// Package compile turns a validated config into a snapshot. It is pure but for
// what it keeps from the running one: services with their endpoints and
// counters, functions with their warm instances, and connection pools live on
// by their identity across snapshots.
//
// Compile makes a Pending snapshot whose new parts are already alive, so that
// new things are ready before old ones stop. Commit then ends what nobody uses
// any more; Abort ends what was made in vain and leaves all as it was.
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

// Parts are the kinds that this program was built with.
type Parts struct {
	Filters   []filter.Definition
	Providers []discovery.Definition
	Functions []function.Definition
	Auths     []auth.Definition
	// Clouds are the platforms of which a config may say something.
	Clouds []config.Kind
}

// Vocabulary is what these parts add to the language of configs.
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

// provider finds who knows the endpoints of a service, by the scheme of its source.
// A service with a list of its own has none; http's provider serves lists too.
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

// Options are what a Compiler needs beside its parts.
type Options struct {
	Log *slog.Logger
	// AccessLog is what an access log needs that no config says.
	AccessLog AccessLog
	// Traces is what a tracer needs that no config says.
	Traces Traces
	// Metrics gives what is compiled its meters; nil: nothing is counted.
	Metrics *telemetry.Metrics
	// Secret resolves secrets: secret.Resolve, or secret.Placeholder where
	// nothing may be read.
	Secret func(secret.Template) (secret.Value, error)
	// Zone is where this gateway is, where no config says; "": nobody does.
	Zone string
	// Node is the machine that this gateway is on, as sources call it; "": nobody knows.
	Node string
	// Shelf is where what is heard from outside outlives the process; nil: nowhere.
	Shelf *shelf.Shelf
	// Queue keeps the jobs of routes that send later; nil: there can be none.
	Queue *queue.Queue
	// Sockets know the WebSockets that end here, whatever config they have begun under.
	Sockets *sockets.Hub
	// Registry is this process's own, which a config may open; nil: there is none.
	Registry *registry.Registry
	// KeptAge is how long endpoints count that nobody has confirmed since the start; 0: a day.
	KeptAge time.Duration
	// Own tells where this process listens, for what may not be called in a group's name; nil: nowhere.
	Own func() []netip.AddrPort

	check bool // nothing may be read
}

// Compiler compiles configs one after the other; it is used by one goroutine.
type Compiler struct {
	parts   Parts
	options Options
	secrets *secrets
	kept    kept

	registryAPI *registryapi.API // that serves; nil: none
}

// New makes a Compiler that runs nothing yet.
func New(parts Parts, options Options) *Compiler {
	if options.KeptAge <= 0 {
		options.KeptAge = 24 * time.Hour
	}
	remembered := newSecrets(options)
	options.Secret = remembered.get
	return &Compiler{parts: parts, options: options, secrets: remembered, kept: kept{}}
}

// Files gives the files that the last config named as secrets and certificates,
// with the digest of each as it was before it was read (secret.FileDigest).
func (c *Compiler) Files() map[string][sha256.Size]byte { return c.secrets.all() }

// Pending is a compiled snapshot that does not serve yet. Exactly one of Commit
// and Abort must be called.
type Pending struct {
	Snapshot *snapshot.Snapshot
	compiler *Compiler
	build    *build
}

// Commit makes the pending parts the kept ones, tunes what was kept, and gives
// a function that ends what is no longer used; it waits for requests under way
// until ctx ends. Call it after the swap, and what it gives when no request
// holds the snapshot before.
func (p *Pending) Commit() (release func(ctx context.Context)) {
	p.compiler.secrets.keep()
	end, places := p.compiler.kept.commit(p.build.used), p.compiler.options.Shelf
	return func(ctx context.Context) { // holds nothing of p, for a long stream puts it off
		end(ctx)
		places.Tidy()
	}
}

// Abort ends what was made for this snapshot.
func (p *Pending) Abort(ctx context.Context) { p.build.used.abort(ctx) }

// Close ends everything that is kept.
func (c *Compiler) Close(ctx context.Context) { c.kept.commit(newUsed())(ctx) }

// Compile builds cfg, which must be valid and is not changed. Where there are
// errors among the problems there is no Pending, and nothing of it is alive any more.
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

// Check builds cfg without starting, connecting or reading anything but the
// folders and programs that it names by path, and gives what is wrong. The
// snapshot can be explained, but not served.
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
	start    bool // make things live; false: check only
	// told are the errors of functions and services (by pointer) that were
	// already reported.
	told    map[any]error
	ways    map[string]*way     // of recognising callers, by name
	managed map[string][]string // folded names of fields that tell who is calling, by group
	awaited []awaited
	// meanings and called are what was found out for the routes before.
	meanings map[meaning]any
	called   map[called]calledService
	noted    map[string]*notedService // by name
	// inlined are the functions that routes name without a declaration.
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

// placeOf is where the cause of err stands, or else at.
func placeOf(err error, at doc.Pos) doc.Pos {
	if unread, ok := errors.AsType[*config.SecretError](err); ok && unread.Pos.File != "" {
		return unread.Pos
	}
	return at
}

// streams refuses what a file wants and this version cannot serve (decision
// 0009). Those of objects stay: their status says that nothing serves them.
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

// wrongMethod is 405 unless every route of the listener comes from a source
// that wants 404.
func (b *build) wrongMethod(listener string) int {
	for i := range b.cfg.Routes {
		r := &b.cfg.Routes[i]
		if r.Policy.WrongMethod != http.StatusNotFound && attached(r, listener) {
			return http.StatusMethodNotAllowed
		}
	}
	return http.StatusNotFound
}

// attached tells whether a route belongs to a listener: none named means all.
func attached(r *config.Route, listener string) bool {
	return len(r.Listeners) == 0 || slices.Contains(r.Listeners, listener)
}
