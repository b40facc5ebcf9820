package compile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/base/pattern"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/traffic/proxy"
	"github.com/weir-gateway/weir/internal/traffic/route"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
	"github.com/weir-gateway/weir/internal/traffic/variant"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// road is the compilation of one route.
type road struct {
	*build

	route  *config.Route
	target *snapshot.Route
	notes  *recorder
	broken string // why the route cannot serve
	body   *int64 // the limit of request bodies that a filter sets
	// options of the proxy are complete once all backends are known.
	options *proxy.Options
	// services are those behind the route's variants.
	services []*config.Service
	places   []place
	closers  []func()
	letGo    []*asking
}

// laid is a road as it is kept from one config to the next, as long as the route says the same and what it uses stays
// the same.
type laid struct {
	route   *config.Route // the latest config that says the same
	target  *snapshot.Route
	matches []condition // of the route's matches, in their order
	places  []place     // of the filters that target notes
	asked   []question
}

// place is where a filter is: the index of its backend, or -1 for the route, and its index there.
type place struct{ backend, filter int }

// condition is the when of a match, with the patterns of the match.
type condition struct {
	holds      func(*http.Request) bool // nil for none
	readsQuery bool
	// readings are the match as read for each host. It is nil for a host that cannot be read; the routing table reports
	// that.
	readings []*route.Reading
}

// route adds the matches of a route to the rules of its listeners, and returns the compiled route.
func (b *build) route(r *config.Route, matches rules) *snapshot.Route {
	l := b.laid(r)
	l.addTo(b.cfg, matches)
	return l.target
}

// laid returns the road of a route: the kept one or a new one.
func (b *build) laid(r *config.Route) *laid {
	name := "route " + r.Name
	if p, ok := b.compiler.kept[name]; ok {
		before := p.value.(*laid) //nolint:forcetypeassert // names carry the kind
		if config.ServesSame(before.route, r) && b.stillSo(before.asked) {
			b.used.parts[name] = p
			before.move(r)
			return before
		}
	}
	told := b.problems.Len()
	o := &road{build: b, route: r, broken: r.Broken, notes: b.record(), options: &proxy.Options{}, target: &snapshot.Route{
		Name: r.Name, Group: r.Group, Origin: r.Origin, EncodedSlash: r.EncodedSlash, Meter: b.routeMeter(r.Name),
	}}
	o.notes.uses(meterName("route", r.Name))
	l := o.laid()
	var end func(context.Context)
	if closers := o.closers; len(closers) > 0 { // not the road, which holds the config
		end = func(context.Context) { closeThem(closers) }
	}
	if b.start && o.broken == "" && b.problems.Len() == told && b.used.parts[name] == nil {
		b.used.add(name, l, end)
	} else if end != nil { // its problems must be reported again
		b.used.own(end)
	}
	return l
}

func closeThem(closers []func()) {
	for _, end := range closers {
		end()
	}
}

// laid lays the road.
func (o *road) laid() *laid {
	if o.broken == "" {
		o.lay()
	}
	l := &laid{route: o.route, target: o.target, places: o.places}
	for i := range o.route.Matches {
		l.matches = append(l.matches, o.matchCondition(&o.route.Matches[i]))
	}
	if o.broken != "" {
		o.target.Handler = broken(o.broken)
	}
	for _, a := range o.letGo {
		a.road = nil
	}
	l.asked = o.notes.done()
	return l
}

// lay builds the whole road, from the outermost guard to the backends.
func (o *road) lay() {
	r := o.route
	onRoute := o.filters(r.Filters, "route", o.onlyAuthority())
	o.target.Filters, o.target.CORS, o.body = onRoute.notes, onRoute.cors, onRoute.body
	o.target.Alone, o.target.Forwarded = onRoute.alone, forwardedNote(r)
	o.placed(onRoute, -1)
	for i, p := range onRoute.policies {
		if note := onRoute.notes[i]; p.ForOneBackend && len(r.Backends) > 1 {
			o.fail(note.Origin, "filter "+note.Name, errors.New("it is about one backend, and the route has several; write it under each of these"))
		}
	}
	backends := r.Backends
	if len(backends) == 0 { // a filter answers
		backends = []config.Backend{{Weight: 1, Origin: r.Origin}}
	}
	variants := make([]variant.Variant, 0, len(backends))
	for i := range backends {
		variants = append(variants, o.variant(i, &backends[i], onRoute))
	}
	*o.options = proxy.Options{Timeouts: o.timeouts(), BodyBytes: o.bodyBytes(), Withheld: o.withheld(), Log: o.compiler.options.Log}
	o.target.Choice = variant.New(variants, o.sticky())
	o.target.Handler = o.withoutManaged(onRoute.guard(proxyTo(o.options, onRoute.adapt(o.target.Choice))))
	o.target.Later, o.target.Way, o.target.Parts, o.target.PartsBytes = onRoute.later, onRoute.way, onRoute.parts, onRoute.partsBytes
	o.status(onRoute)
}

// withheld returns what the backend is not told about the client.
func (o *road) withheld() forward.Withheld {
	if o.route.Forwarded == nil {
		return forward.Withheld{}
	}
	return forward.AllBut(o.route.Forwarded.Names)
}

// forwardedNote returns what explain shows of r's forwarded; nil: nothing.
func forwardedNote(r *config.Route) *snapshot.ForwardedNote {
	if r.Forwarded == nil || len(r.Backends) == 0 { // nobody is told anything where a filter answers
		return nil
	}
	origin, inherited := r.Via["forwarded"]
	if !inherited {
		origin = r.Origin
	}
	return &snapshot.ForwardedNote{Fields: r.Forwarded.Names, Origin: origin}
}

// placed records where filters are.
func (o *road) placed(f built, backend int) {
	for _, at := range f.at {
		o.places = append(o.places, place{backend, at})
	}
}

// proxyTo returns the proxy of a road that ends in backend.
func proxyTo(options *proxy.Options, backend http.RoundTripper) http.Handler {
	own := *options
	own.Backend = backend
	return proxy.New(own)
}

// resolve resolves a reference, and records it.
func (o *road) resolve(ref config.Ref) (resolved, error) {
	return o.notes.backend(&config.Route{Timeouts: o.route.Timeouts, Retry: o.route.Retry}, ref)
}

// move takes over the positions of a route that says the same but was written elsewhere.
func (l *laid) move(r *config.Route) {
	l.route = r
	if !l.moved(r) {
		return
	}
	target := *l.target
	target.Origin, target.Forwarded = r.Origin, forwardedNote(r)
	target.Filters, target.Backends = slices.Clone(target.Filters), slices.Clone(target.Backends)
	for i, at := range l.places {
		target.Filters[i].Origin = at.filterOf(r).Origin
	}
	for i := range target.Backends {
		target.Backends[i].Origin = backendOrigin(r, i)
	}
	l.target = &target // the snapshot that serves uses the old one
}

func (l *laid) moved(r *config.Route) bool {
	moved := l.target.Origin != r.Origin
	if f := l.target.Forwarded; f != nil {
		moved = moved || f.Origin != forwardedNote(r).Origin
	}
	for i, at := range l.places {
		moved = moved || l.target.Filters[i].Origin != at.filterOf(r).Origin
	}
	for i := range l.target.Backends {
		moved = moved || l.target.Backends[i].Origin != backendOrigin(r, i)
	}
	return moved
}

func (p place) filterOf(r *config.Route) *config.Filter {
	if p.backend < 0 {
		return &r.Filters[p.filter]
	}
	return &r.Backends[p.backend].Filters[p.filter]
}

// backendOrigin returns where the i-th backend was written, or where the route was if it has none.
func backendOrigin(r *config.Route, i int) config.Origin {
	if i < len(r.Backends) {
		return r.Backends[i].Origin
	}
	return r.Origin
}

// timeouts returns the route's own timeouts, completed by those of its services. If those differ, the longest counts,
// because the proxy needs the timeouts before it knows which variant answers.
func (o *road) timeouts() config.Timeouts {
	var longest config.Timeouts
	for _, s := range o.services {
		own := s.Timeouts.Or(config.DefaultTimeouts())
		longest.Idle, longest.Total = longer(longest.Idle, own.Idle), longer(longest.Total, own.Total)
	}
	return o.route.Timeouts.Or(longest).Or(config.DefaultTimeouts())
}

func longer(a, b time.Duration) time.Duration {
	if a == config.NoTimeout || b == config.NoTimeout {
		return config.NoTimeout
	}
	return max(a, b)
}

// bodyBytes returns the limit of request bodies: the route's own, otherwise the common one. A route whose backends all
// speak only gRPC has no limit by default: a client's stream is as long as it lives, and each message has gRPC's own
// limit.
func (o *road) bodyBytes() int64 {
	if o.body != nil {
		return *o.body
	}
	for _, s := range o.services {
		if protocol, _ := o.protocolOf(s); protocol != transport.GRPC {
			return o.commonBodyBytes()
		}
	}
	if len(o.services) == 0 || len(o.services) < len(o.route.Backends) {
		return o.commonBodyBytes()
	}
	return 0
}

// commonBodyBytes returns the limit of all routes without one of their own.
func (o *road) commonBodyBytes() int64 {
	limit := o.cfg.Limits.BodyBytes
	o.notes.note(func(b *build) any { return b.cfg.Limits.BodyBytes }, limit)
	return limit
}

// addTo adds the route's rules to those of the listeners that it is attached to.
func (l *laid) addTo(cfg *config.Config, matches rules) {
	for i, m := range l.route.Matches {
		l.addMatch(cfg, matches, m, l.matches[i], l.target)
	}
	l.addStatus(cfg, matches)
}

// addMatch adds a rule for each match and host to each listener that the route is attached to.
func (l *laid) addMatch(cfg *config.Config, matches rules, m config.Match, when condition, target *snapshot.Route) {
	r := l.route
	rule := route.Rule[*snapshot.Route]{
		Match: m, When: when.holds, WhenReadsQuery: when.readsQuery, HeadByGet: r.Policy.HeadByGet, Rank: r.Policy.Rank,
		Origin: m.Origin, Name: r.Name, Value: target,
	}
	for _, listener := range cfg.Listeners {
		if listener.API != "" || !attached(r, listener.Name) {
			continue
		}
		for j, host := range hostsOf(r) {
			rule.Host, rule.Reading = host, when.readings[j]
			matches[listener.Name] = append(matches[listener.Name], rule)
		}
	}
}

// hostsOf returns the hosts of a route, "" for any.
func hostsOf(r *config.Route) []string {
	if len(r.Hosts) == 0 {
		return []string{""}
	}
	return r.Hosts
}

// broken returns the handler of a route that cannot serve.
func broken(reason string) http.Handler {
	f := fault.RouteBroken.New("", fault.Internal("%s", reason))
	return proxy.New(proxy.Options{Backend: variant.Status{Fault: f}})
}

// fail reports what is wrong with a part of the route. If the route comes from a file, the file is refused. An object's
// route is marked as broken instead, so that it does not affect the routes of others.
func (o *road) fail(at config.Origin, what string, err error) {
	if o.route.Origin.Object != "" {
		o.broken = cmp.Or(o.broken, fmt.Sprintf("%s: %v", what, err))
		o.problems.Add(doc.Problem{
			Pos: o.route.Origin.Pos, Severity: doc.Warning,
			What: fmt.Sprintf("%s answers 500", o.route.Origin.Object), Why: fmt.Sprintf("%s: %v", what, err),
		})
		return
	}
	if _, told := errors.AsType[toldError](err); !told {
		o.problems.Add(doc.Problem{Pos: placeOf(err, at.Pos), What: what, Why: err.Error()})
	}
}

// variant builds one of the route's backends with its own adapters, and notes it for explain.
func (o *road) variant(i int, use *config.Backend, onRoute built) variant.Variant {
	end, name := o.end(use)
	own := o.filters(use.Filters, name, o.authority(use.Ref))
	for _, p := range own.policies {
		if p.Adapt == nil {
			o.fail(use.Origin, "backend "+strconv.Quote(name), errors.New("a filter that only guards cannot stand on a backend; put it on the route"))
		}
	}
	v := variant.Variant{Name: name, Weight: use.Weight, Backend: own.adapt(end.roundTripper)}
	note := snapshot.BackendNote{Name: name, Weight: use.Weight, Origin: use.Origin, Endpoints: end.endpoints, Status: end.status, Kept: end.kept, State: end.state}
	if end.service != nil {
		note.Balance = balanceNote(end.service)
	}
	if use.When != nil {
		v.When, note.When = o.variantCondition(use.When), use.When.Source
	}
	note.Steps = steps(end.composition)
	if onRoute.pure && own.pure && end.composition == nil {
		options := o.options
		rehearse := end.rehearse
		note.Rehearse = func(end http.RoundTripper, adds func(...string)) http.Handler {
			if rehearse != nil {
				end = rehearsing{rehearse, end, adds}
			}
			return proxyTo(options, onRoute.rehearsed(own.rehearsed(end, adds), adds))
		}
	}
	o.placed(own, i)
	o.target.Filters = append(o.target.Filters, own.notes...)
	o.target.Alone = o.target.Alone && own.alone
	o.target.Backends = append(o.target.Backends, note)
	return v
}

// end returns what answers a variant behind all filters, and the name by which it is known.
func (o *road) end(use *config.Backend) (end resolved, name string) {
	switch {
	case use.Status != 0:
		kind := fault.Kind{Code: fault.RouteBroken.Code, Status: use.Status, Title: fault.RouteBroken.Title}
		return resolved{roundTripper: variant.Status{Fault: kind.New("", fault.Internal("%s", use.Reason))}}, use.Reason
	case use.Ref.Scheme == "" && use.Ref.Rest == "":
		f := fault.RouteBroken.New("", fault.Internal("route %s has no backend, and none of its filters has answered", o.route.Name))
		return resolved{roundTripper: variant.Status{Fault: f}}, answering(use.Filters)
	}
	name = use.Ref.String()
	end, err := o.resolve(use.Ref)
	if err == nil {
		err = o.checkPaths(o.route, use)
	}
	if err != nil {
		o.fail(use.Origin, "backend "+strconv.Quote(name), err)
		end.roundTripper = unstarted{} // never called: the route or the whole config is refused
	}
	if end.service != nil {
		o.services = append(o.services, end.service)
	}
	return end, name
}

// onlyAuthority returns the authority of the route's only backend.
func (o *road) onlyAuthority() string {
	if len(o.route.Backends) != 1 {
		return ""
	}
	return o.authority(o.route.Backends[0].Ref)
}

// authority returns the host of a backend that is a URL, or of a service whose source is a URL.
func (o *road) authority(ref config.Ref) string {
	if s, ok := o.meant(ref).(*config.Service); ok && s.Source.Rest != "" {
		ref = s.Source
	}
	return ref.Authority()
}

// hosts returns the host names without a wildcard of the route and its listeners. They are recorded, because the host
// names of listeners may change while the route says the same.
func (o *road) hosts() []string {
	hosts, listeners := o.route.Hosts, o.route.Listeners // not the route, which a recorded question would keep in memory
	names := o.exact(hosts, listeners)
	o.notes.note(func(b *build) any { return strings.Join(b.exact(hosts, listeners), " ") }, strings.Join(names, " "))
	return names
}

// exact returns the hosts without a wildcard among those of a route and of its listeners.
func (b *build) exact(hosts, listeners []string) []string {
	said := slices.Clone(hosts)
	for _, l := range b.cfg.Listeners {
		if l.Routed() && (len(listeners) == 0 || slices.Contains(listeners, l.Name)) {
			said = append(said, l.Hostname)
		}
	}
	var names []string
	for _, text := range said {
		if h, err := pattern.ParseHost(text); err == nil && h.Kind == pattern.HostExact {
			names = append(names, h.Name)
		}
	}
	return names
}

// answering returns the name for a missing backend: the filters that answer instead.
func answering(filters []config.Filter) string {
	names := make([]string, 0, len(filters))
	for _, f := range filters {
		names = append(names, f.Name)
	}
	return cmp.Or(strings.Join(names, "+"), snapshot.NoBackend)
}

// condition compiles a when; nil if it cannot be compiled.
func (o *road) condition(e *config.Expr) *expr.Program {
	p, err := expr.Compile(e.Source, expr.Bool, expr.Request)
	if err != nil {
		o.fail(config.Origin{Pos: e.Pos}, "when", err)
		return nil
	}
	return p
}

// variantCondition is the when of a variant. If it fails, its error is the answer.
func (o *road) variantCondition(e *config.Expr) func(*http.Request) (bool, error) {
	p := o.condition(e)
	return func(r *http.Request) (bool, error) { return p.Bool(&expr.Input{Request: r}) }
}

// matchCondition is the when of a match, nil if there is none. If it fails, the match does not apply. It also says
// whether it reads the query, because it must read there what the backend reads.
func (o *road) matchCondition(m *config.Match) condition {
	c := withoutCondition(o.route, m)
	if m.When == nil {
		return c
	}
	p := o.condition(m.When)
	if p == nil {
		return c // the route or the whole config is refused
	}
	c.readsQuery = p.Reads().Query
	c.holds = func(r *http.Request) bool {
		ok, err := p.Bool(&expr.Input{Request: r})
		return ok && err == nil
	}
	return c
}

// withoutCondition is a match without its when.
func withoutCondition(r *config.Route, m *config.Match) condition {
	var c condition
	for _, host := range hostsOf(r) {
		read, err := route.Read(host, m)
		if err != nil {
			read = nil
		}
		c.readings = append(c.readings, read)
	}
	return c
}

// sticky compiles the key that keeps a client on its variant.
func (o *road) sticky() func(*http.Request) (string, error) {
	e := o.route.Sticky
	if e == nil {
		return nil
	}
	p, err := expr.Compile(e.Source, expr.String, expr.Request)
	if err != nil {
		o.fail(config.Origin{Pos: e.Pos}, "sticky", err)
		return nil
	}
	return func(r *http.Request) (string, error) { return p.String(&expr.Input{Request: r}) }
}
