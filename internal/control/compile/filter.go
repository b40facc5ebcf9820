package compile

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/sockets"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// built are the filters of one route, backend or step, outermost first.
type built struct {
	policies   []filter.Policy
	notes      []snapshot.FilterNote
	at         []int  // for each note, the index of its filter in the list
	cors       bool   // one of them answers preflights
	body       *int64 // see filter.Policy
	later      *filter.Later
	way        sockets.Way
	parts      func(*http.Request) ([]filter.Part, error)
	partsBytes int64
	pure       bool // explain may run their adapters: they do nothing but change request and response
	alone      bool // none of them keeps anything of an exchange; see filter.Policy
}

// filters builds a list of filters in the fixed order, regardless of the order in which they were written. on names the
// place for explain; authority is the host of the only backend there.
func (o *road) filters(list []config.Filter, on, authority string) built {
	out := built{pure: true, alone: true}
	for _, p := range o.inOrder(list) {
		policy, err := p.definition.Build(o.env(p, authority), p.use.Config)
		if err != nil {
			o.fail(p.use.Origin, "filter "+p.use.Name, err)
			continue
		}
		if policy.Close != nil {
			o.closers = append(o.closers, policy.Close)
		}
		if policy.BodyBytes != nil {
			out.body = policy.BodyBytes
		}
		if policy.Later != nil {
			out.later = policy.Later
		}
		if out.way == nil { // the outermost one ends the sessions
			out.way = policy.Way
		}
		if out.parts == nil && policy.Parts != nil { // the outermost one answers
			out.parts, out.partsBytes = policy.Parts, *policy.BodyBytes
		}
		out.policies = append(out.policies, policy)
		out.at = append(out.at, p.at)
		out.notes = append(out.notes, snapshot.FilterNote{Name: p.use.Name, Note: policy.Note, On: on, Origin: p.use.Origin, Ask: policy.Ask})
		out.alone = out.alone && policy.KeepsNothing
		out.cors = out.cors || p.stage == filter.StageCORS
		out.pure = out.pure && !policy.Bodies && (policy.Adapt == nil || policy.Transparent || policy.Rehearse != nil || pure(p.stage))
	}
	return out
}

// placed is a filter with its definition and position.
type placed struct {
	definition filter.Definition
	stage      filter.Stage
	nth        int // among the filters of its kind at this place
	at         int // in the list
	use        config.Filter
}

func (o *road) inOrder(list []config.Filter) []placed {
	chain := make([]placed, 0, len(list))
	for i, f := range list {
		d, ok := o.compiler.parts.filter(f.Name)
		if !ok {
			o.fail(f.Origin, "filter "+strconv.Quote(f.Name), errors.New("there is no such filter in this version"))
			continue
		}
		one := placed{definition: d, stage: d.StageOf(f.Config), use: f, at: i}
		for _, before := range chain {
			if before.use.Name == f.Name && before.stage == one.stage {
				one.nth++
			}
		}
		chain = append(chain, one)
	}
	slices.SortStableFunc(chain, func(x, y placed) int { return cmp.Compare(x.stage, y.stage) })
	return chain
}

// pure reports whether the adapters of a stage only change the messages that pass through them. The adapters of a cache
// or a mirror remember requests, or send requests of their own.
func pure(s filter.Stage) bool {
	return s == filter.StageHeaders || s == filter.StageTransform || s == filter.StageRewrite || s == filter.StageRespond
}

func (o *road) env(p placed, authority string) filter.Env {
	// What a filter keeps of its Env must not keep the build in memory. Therefore the Env refers to the notes, which
	// let go of the build.
	notes, name := o.notes, p.use.Name
	ask := &asking{o}
	o.letGo = append(o.letGo, ask)
	return filter.Env{
		Keep: func(identity string, makeIt func() (any, func(context.Context), error)) (any, error) {
			return notes.keep("filter "+name+" "+identity, makeIt)
		},
		Backend: ask.backend, Auth: ask.way, Queue: o.queue, Sockets: o.compiler.options.Sockets, Bounds: o.bounds(),
		Meter:  o.target.Meter,
		Secret: notes.secret,
		Log:    o.compiler.options.Log,
		Route:  o.route.Name, Group: o.route.Group, Authority: authority, Hosts: ask.hosts, Nth: p.nth,
	}
}

// asking gives a filter access to its road until the road is laid.
type asking struct{ road *road }

func (a *asking) backend(ref config.Ref) (http.RoundTripper, error) {
	if a.road == nil {
		return nil, errMade
	}
	found, err := a.road.resolve(ref)
	return found.roundTripper, err
}

func (a *asking) hosts() []string {
	if a.road == nil {
		return nil
	}
	return a.road.hosts()
}

func (a *asking) way(name string) (auth.Way, error) {
	if a.road == nil {
		return auth.Way{}, errMade
	}
	return a.road.way(name)
}

// adapt puts the adapters around a backend. The adapter that sends later goes around all others.
func (f built) adapt(backend http.RoundTripper) http.RoundTripper {
	var later func(http.RoundTripper) http.RoundTripper
	for _, p := range slices.Backward(f.policies) {
		switch {
		case p.Later != nil:
			later = p.Adapt
		case p.Adapt != nil:
			backend = p.Adapt(backend)
		}
	}
	if later != nil {
		return later(backend)
	}
	return backend
}

// rehearsed is adapt for rehearsals. It calls adds with what is added to a request but cannot be seen in it.
func (f built) rehearsed(backend http.RoundTripper, adds func(...string)) http.RoundTripper {
	for _, p := range slices.Backward(f.policies) {
		switch {
		case p.Rehearse != nil:
			backend = rehearsing{p.Rehearse, backend, adds}
		case p.Adapt != nil && !p.Transparent:
			backend = p.Adapt(backend)
		}
	}
	return backend
}

// rehearsing stands, before a rehearsal's end, for a backend or adapter that does more to a request than change it.
type rehearsing struct {
	rehearse func(*http.Request) ([]string, error)
	end      http.RoundTripper
	adds     func(...string)
}

// RoundTrip implements http.RoundTripper.
func (r rehearsing) RoundTrip(req *http.Request) (*http.Response, error) {
	added, err := r.rehearse(req)
	if err != nil {
		return nil, err
	}
	r.adds(added...)
	return r.end.RoundTrip(req)
}

// tell returns a function that runs the Tells of all guards, or nil if there are none.
func (f built) tell() func(*http.Request) *fault.Fault {
	var tells []func(*http.Request) *fault.Fault
	for _, p := range f.policies {
		if p.Tell != nil {
			tells = append(tells, p.Tell)
		}
	}
	if len(tells) == 0 {
		return nil
	}
	return func(r *http.Request) *fault.Fault {
		for _, tell := range tells {
			if problem := tell(r); problem != nil {
				return problem
			}
		}
		return nil
	}
}

// guard puts the guards around a handler.
func (f built) guard(handler http.Handler) http.Handler {
	for _, p := range slices.Backward(f.policies) {
		if p.Guard != nil {
			handler = p.Guard(handler)
		}
	}
	return handler
}
