package compile

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/traffic/proxy"
	"github.com/weir-gateway/weir/internal/traffic/route"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
	"github.com/weir-gateway/weir/internal/traffic/variant"
)

// route compiles one route and adds its matches to the rules of its listeners.
func (b *build) route(r *config.Route, rules map[string][]route.Rule[*snapshot.Route]) {
	target := &snapshot.Route{Name: r.Name, Group: r.Group, Origin: r.Origin, EncodedSlash: r.EncodedSlash}
	if r.Broken == "" {
		b.chain(r, target)
	}
	if r.Broken != "" {
		target.Handler = broken(r.Broken)
	}
	hosts := r.Hosts
	if len(hosts) == 0 {
		hosts = []string{""}
	}
	for _, l := range b.cfg.Listeners {
		if !attached(r, l.Name) {
			continue
		}
		for _, m := range r.Matches {
			when := b.matchCondition(r, m)
			for _, host := range hosts {
				rules[l.Name] = append(rules[l.Name], route.Rule[*snapshot.Route]{
					Host: host, Match: m, When: when, HeadByGet: r.Policy.HeadByGet, Rank: r.Policy.Rank,
					Origin: m.Origin, Name: r.Name, Value: target,
				})
			}
		}
	}
}

// broken answers what a route that cannot serve answers.
func broken(reason string) http.Handler {
	f := fault.RouteBroken.New("", fault.Internal("%s", reason))
	return proxy.New(proxy.Options{Backend: variant.Status{Fault: f}})
}

// fail reports what is wrong with a part of a route. A file is refused for it;
// an object's route is broken instead, so that it costs nobody else's.
func (b *build) fail(r *config.Route, at config.Origin, what string, err error) {
	if r.Origin.Object != "" {
		r.Broken = cmp.Or(r.Broken, fmt.Sprintf("%s: %v", what, err))
		return
	}
	if _, told := errors.AsType[toldError](err); !told {
		b.problems.Add(doc.Problem{Pos: at.Pos, What: what, Why: err.Error()})
	}
}

// built are the filters of one place, in order.
type built struct {
	policies []filter.Policy
	notes    []snapshot.FilterNote
	cors     bool
}

// filters builds a list of filters in the fixed order. on names the place for explain.
func (b *build) filters(r *config.Route, list []config.Filter, on string) built {
	var out built
	type placed struct {
		definition filter.Definition
		use        config.Filter
	}
	var chain []placed
	for _, f := range list {
		d, ok := b.compiler.parts.filter(f.Name)
		if !ok {
			b.fail(r, f.Origin, "filter "+strconv.Quote(f.Name), fmt.Errorf("there is no such filter in this version"))
			continue
		}
		chain = append(chain, placed{d, f})
	}
	slices.SortStableFunc(chain, func(x, y placed) int { return cmp.Compare(x.definition.Stage, y.definition.Stage) })
	for _, p := range chain {
		policy, err := p.definition.Build(b.env(r), p.use.Config)
		if err != nil {
			b.fail(r, p.use.Origin, "filter "+p.use.Name, err)
			continue
		}
		out.policies = append(out.policies, policy)
		out.notes = append(out.notes, snapshot.FilterNote{Name: p.use.Name, Note: policy.Note, On: on, Origin: p.use.Origin})
		out.cors = out.cors || p.definition.Stage == filter.StageCORS
	}
	return out
}

func (b *build) env(r *config.Route) filter.Env {
	return filter.Env{
		Backend: func(ref config.Ref) (http.RoundTripper, error) {
			resolved, err := b.backend(r, ref)
			return resolved.roundTripper, err
		},
		Secret: b.compiler.options.Secret,
		Log:    b.compiler.options.Log,
		Route:  r.Name, Group: r.Group,
	}
}

// chain builds the whole road of a route, from its outermost guard to its backends.
func (b *build) chain(r *config.Route, target *snapshot.Route) {
	onRoute := b.filters(r, r.Filters, "route")
	target.Filters, target.CORS = onRoute.notes, onRoute.cors
	var variants []variant.Variant
	for i := range r.Backends {
		v, note := b.variant(r, &r.Backends[i], target)
		variants = append(variants, v)
		target.Backends = append(target.Backends, note)
	}
	if len(r.Backends) == 0 { // a filter answers, and if none does the reason is told
		f := fault.RouteBroken.New("", fault.Internal("route %s has no backend", r.Name))
		variants = append(variants, variant.Variant{Name: "none", Weight: 1, Backend: variant.Status{Fault: f}})
	}
	target.Choice = variant.New(variants, b.sticky(r))
	var backend http.RoundTripper = target.Choice
	for _, p := range slices.Backward(onRoute.policies) {
		if p.Adapt != nil {
			backend = p.Adapt(backend)
		}
	}
	handler := proxy.New(proxy.Options{Backend: backend, Timeouts: r.Timeouts.Or(config.DefaultTimeouts()), BodyBytes: b.cfg.Limits.BodyBytes, Log: b.compiler.options.Log})
	for _, p := range slices.Backward(onRoute.policies) {
		if p.Guard != nil {
			handler = p.Guard(handler)
		}
	}
	target.Handler = handler
}

// variant builds one of a route's backends with its own adapters.
func (b *build) variant(r *config.Route, use *config.Backend, target *snapshot.Route) (variant.Variant, snapshot.BackendNote) {
	name := use.Ref.String()
	v := variant.Variant{Name: name, Weight: use.Weight}
	note := snapshot.BackendNote{Name: name, Weight: use.Weight, Origin: use.Origin}
	if use.When != nil {
		v.When, note.When = b.condition(r, use.When), use.When.Source
	}
	if use.Status != 0 {
		v.Name, note.Name = use.Reason, use.Reason
		v.Backend = variant.Status{Fault: fault.Kind{Code: fault.RouteBroken.Code, Status: use.Status, Title: fault.RouteBroken.Title}.
			New("", fault.Internal("%s", use.Reason))}
		return v, note
	}
	resolved, err := b.backend(r, use.Ref)
	if err != nil {
		b.fail(r, use.Origin, "backend "+strconv.Quote(name), err)
		return v, note
	}
	v.Backend, note.Endpoints = resolved.roundTripper, resolved.endpoints
	own := b.filters(r, use.Filters, name)
	target.Filters = append(target.Filters, own.notes...)
	for _, p := range slices.Backward(own.policies) {
		if p.Adapt == nil {
			b.fail(r, use.Origin, "backend "+strconv.Quote(name), fmt.Errorf("a filter that only guards cannot stand on a backend; put it on the route"))
			continue
		}
		v.Backend = p.Adapt(v.Backend)
	}
	return v, note
}

// condition compiles a variant's when.
func (b *build) condition(r *config.Route, e *config.Expr) func(*http.Request) (bool, error) {
	p, err := expr.Compile(e.Source, expr.Bool, expr.Request)
	if err != nil {
		b.fail(r, config.Origin{Pos: e.Pos}, "when", err)
		return func(*http.Request) (bool, error) { return false, err }
	}
	return func(r *http.Request) (bool, error) { return p.Bool(&expr.Input{Request: r}) }
}

// matchCondition compiles a match's when: an error is no match.
func (b *build) matchCondition(r *config.Route, m config.Match) func(*http.Request) bool {
	if m.When == nil {
		return nil
	}
	holds := b.condition(r, m.When)
	return func(r *http.Request) bool {
		ok, err := holds(r)
		return ok && err == nil
	}
}

// sticky compiles the key that keeps a client on its share.
func (b *build) sticky(r *config.Route) func(*http.Request) (string, error) {
	if r.Sticky == nil {
		return nil
	}
	p, err := expr.Compile(r.Sticky.Source, expr.String, expr.Request)
	if err != nil {
		b.fail(r, config.Origin{Pos: r.Sticky.Pos}, "sticky", err)
		return nil
	}
	return func(r *http.Request) (string, error) { return p.String(&expr.Input{Request: r}) }
}
