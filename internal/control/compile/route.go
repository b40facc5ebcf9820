package compile

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/fault"
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
	broken string // why the route cannot serve
	body   *int64 // the limit of request bodies that a filter says
	// services are those behind the route's variants.
	services []*config.Service
}

// route compiles one route and adds its matches to the rules of its listeners.
func (b *build) route(r *config.Route, matches rules) {
	o := &road{build: b, route: r, broken: r.Broken, target: &snapshot.Route{
		Name: r.Name, Group: r.Group, Origin: r.Origin, EncodedSlash: r.EncodedSlash, Meter: b.routeMeter(r.Name),
	}}
	if o.broken == "" {
		o.lay()
	}
	o.addTo(matches)
	if o.broken != "" {
		o.target.Handler = broken(o.broken)
	}
}

// lay builds the whole road, from the outermost guard to the backends.
func (o *road) lay() {
	r := o.route
	onRoute := o.filters(r.Filters, "route")
	o.target.Filters, o.target.CORS, o.body = onRoute.notes, onRoute.cors, onRoute.body
	backends := r.Backends
	if len(backends) == 0 { // a filter answers
		backends = []config.Backend{{Weight: 1, Origin: r.Origin}}
	}
	variants := make([]variant.Variant, 0, len(backends))
	for i := range backends {
		variants = append(variants, o.variant(&backends[i], onRoute))
	}
	o.target.Choice = variant.New(variants, o.sticky())
	o.target.Handler = onRoute.guard(o.proxy(onRoute.adapt(o.target.Choice)))
}

func (o *road) proxy(backend http.RoundTripper) http.Handler {
	return proxy.New(proxy.Options{
		Backend: backend, Timeouts: o.timeouts(), BodyBytes: o.bodyBytes(), Log: o.compiler.options.Log,
	})
}

// timeouts are the route's own, completed by those of its services, the longest
// where these differ: the proxy holds them before it knows which variant answers.
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

// bodyBytes is the limit of request bodies: the route's own, else that of all. What
// only speaks gRPC has none of its own accord: a client's stream is as long as it
// lives, and each message has gRPC's own limit.
func (o *road) bodyBytes() int64 {
	if o.body != nil {
		return *o.body
	}
	for _, s := range o.services {
		if protocol, _ := o.protocolOf(s); protocol != transport.GRPC {
			return o.cfg.Limits.BodyBytes
		}
	}
	if len(o.services) == 0 || len(o.services) < len(o.route.Backends) {
		return o.cfg.Limits.BodyBytes
	}
	return 0
}

// addTo adds a rule for each match and host to each listener that the route is attached to.
func (o *road) addTo(matches rules) {
	hosts := o.route.Hosts
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	for _, m := range o.route.Matches {
		when, readsQuery := o.matchCondition(m.When)
		rule := route.Rule[*snapshot.Route]{
			Match: m, When: when, WhenReadsQuery: readsQuery, HeadByGet: o.route.Policy.HeadByGet, Rank: o.route.Policy.Rank,
			Origin: m.Origin, Name: o.route.Name, Value: o.target,
		}
		for _, l := range o.cfg.Listeners {
			if !attached(o.route, l.Name) {
				continue
			}
			for _, host := range hosts {
				rule.Host = host
				matches[l.Name] = append(matches[l.Name], rule)
			}
		}
	}
}

// broken answers what a route that cannot serve answers.
func broken(reason string) http.Handler {
	f := fault.RouteBroken.New("", fault.Internal("%s", reason))
	return proxy.New(proxy.Options{Backend: variant.Status{Fault: f}})
}

// fail reports what is wrong with a part of the route. A file is refused for it;
// an object's route is broken instead, so that it costs nobody else's.
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

// variant builds one of the route's backends with its own adapters, and notes
// it for explain.
func (o *road) variant(use *config.Backend, onRoute built) variant.Variant {
	end, name := o.end(use)
	own := o.filters(use.Filters, name)
	for _, p := range own.policies {
		if p.Adapt == nil {
			o.fail(use.Origin, "backend "+strconv.Quote(name), errors.New("a filter that only guards cannot stand on a backend; put it on the route"))
		}
	}
	v := variant.Variant{Name: name, Weight: use.Weight, Backend: own.adapt(end.roundTripper)}
	note := snapshot.BackendNote{Name: name, Weight: use.Weight, Origin: use.Origin, Endpoints: end.endpoints}
	if use.When != nil {
		v.When, note.When = o.variantCondition(use.When), use.When.Source
	}
	note.Steps = steps(end.composition)
	if onRoute.pure && own.pure && end.composition == nil {
		note.Rehearse = func(end http.RoundTripper) http.Handler { return o.proxy(onRoute.adapt(own.adapt(end))) }
	}
	o.target.Filters = append(o.target.Filters, own.notes...)
	o.target.Backends = append(o.target.Backends, note)
	return v
}

// end is what answers a variant behind all filters, with the name that it is known by.
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
	end, err := o.backend(o.route, use.Ref)
	if err != nil {
		o.fail(use.Origin, "backend "+strconv.Quote(name), err)
		end.roundTripper = unstarted{} // never called: the route or the whole config is refused
	}
	if end.service != nil {
		o.services = append(o.services, end.service)
	}
	return end, name
}

// answering names a backend that is none: the filters that answer instead.
func answering(filters []config.Filter) string {
	names := make([]string, 0, len(filters))
	for _, f := range filters {
		names = append(names, f.Name)
	}
	return cmp.Or(strings.Join(names, "+"), snapshot.NoBackend)
}

// condition compiles a when, nil where it cannot be.
func (o *road) condition(e *config.Expr) *expr.Program {
	p, err := expr.Compile(e.Source, expr.Bool, expr.Request)
	if err != nil {
		o.fail(config.Origin{Pos: e.Pos}, "when", err)
		return nil
	}
	return p
}

// variantCondition is a variant's when: its error is the answer.
func (o *road) variantCondition(e *config.Expr) func(*http.Request) (bool, error) {
	p := o.condition(e)
	return func(r *http.Request) (bool, error) { return p.Bool(&expr.Input{Request: r}) }
}

// matchCondition is a match's when, nil for none: an error is no match. What it
// reads of the query must be what the backend reads, so it says whether it does.
func (o *road) matchCondition(e *config.Expr) (when func(*http.Request) bool, readsQuery bool) {
	if e == nil {
		return nil, false
	}
	p := o.condition(e)
	if p == nil {
		return nil, false // the route or the whole config is refused
	}
	return func(r *http.Request) bool {
		ok, err := p.Bool(&expr.Input{Request: r})
		return ok && err == nil
	}, p.Reads().Query
}

// sticky compiles the key that keeps a client on its share.
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
