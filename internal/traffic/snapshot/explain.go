package snapshot

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/traffic/route"
	"github.com/weir-gateway/weir/internal/traffic/service"
)

// Explanation is why a request gets the answer it gets: the decisions in the order they are made, up to the call of the
// backend, which is not made.
type Explanation struct {
	Method    string  `json:"method"`
	Host      string  `json:"host"`   // as routing sees it
	Path      string  `json:"path"`   // normalised; "" if it cannot be
	Target    string  `json:"target"` // path and query as received
	Query     string  `json:"query,omitempty"`
	Client    string  `json:"client"`
	Identity  *Caller `json:"identity,omitempty"` // nil: nobody was authenticated
	Socket    string  `json:"socket"`
	Listener  *Place  `json:"listener,omitempty"`  // nil if no listener serves the host
	Preflight string  `json:"preflight,omitempty"` // the method that a CORS preflight asks for
	// Preflighted says that the route's cors filter answers it.
	Preflighted bool             `json:"preflighted,omitempty"`
	Route       *Place           `json:"route,omitempty"` // nil if none matches
	Params      []exchange.Param `json:"params,omitempty"`
	Trace       route.Trace      `json:"trace"` // every candidate and why it lost or won
	Filters     []FilterStep     `json:"filters,omitempty"`
	// Forwarded is which fields about the client the route lets its backends get; nil: all of them.
	Forwarded *Forwarded        `json:"forwarded,omitempty"`
	Backends  []BackendStep     `json:"backends,omitempty"`
	Problem   *ExplainedProblem `json:"problem,omitempty"` // what the client would get without any backend being asked
	// Parts lists the requests of a batch whose body is known.
	Parts []ExplainedPart `json:"parts,omitempty"`
}

// ExplainedPart is a request that is made within another one.
type ExplainedPart struct {
	Explanation

	ID    string   `json:"id"`
	After []string `json:"after,omitempty"` // the parts that it waits for
}

// Caller is who a request is explained for.
type Caller struct {
	Issuer  string   `json:"issuer,omitempty"`
	Subject string   `json:"subject,omitempty"`
	Scopes  []string `json:"scopes,omitempty"`
}

// Place names an element and where it was written.
type Place struct {
	Name   string `json:"name"`
	Origin string `json:"origin"`
}

// Forwarded names the fields about the client that backends may get, and where that was written.
type Forwarded struct {
	Fields []string `json:"fields"`
	Origin string   `json:"origin"`
}

// FilterStep is one filter of the route, outermost first.
type FilterStep struct {
	Name   string `json:"name"`
	On     string `json:"on"` // "route" or the backend that it belongs to
	Note   string `json:"note,omitempty"`
	Origin string `json:"origin"`
	// Verdict is what the filter decides about this request; "" if it decides nothing.
	Verdict Verdict `json:"verdict,omitempty"`
	Why     string  `json:"why,omitempty"` // which rule decided, and on what basis
}

// Verdict is what a guard does with a request.
type Verdict string

// The verdicts. Guards behind one that ended the request are Unreached.
const (
	Passes    Verdict = "passes"
	Refuses   Verdict = "refuses"
	Answers   Verdict = "answers"
	Unreached Verdict = "unreached"
)

// BackendStep is one of the route's backends.
type BackendStep struct {
	Name      string   `json:"name"`
	When      string   `json:"when,omitempty"`
	Weight    int      `json:"weight,omitempty"`
	Chosen    bool     `json:"chosen"`              // this request certainly goes here
	Endpoints []string `json:"endpoints,omitempty"` // that would be asked
	// Asks is which endpoints a service asks, Left lists its endpoints that may not be asked, and Resting says that its
	// breaker is open. They are known only in a running gateway.
	Asks    service.Mode   `json:"asks,omitempty"`
	Left    []LeftEndpoint `json:"endpoints_left,omitempty"`
	Resting bool           `json:"breaker_open,omitempty"`
	// Balance is how one of the endpoints is chosen.
	Balance string `json:"balance,omitempty"`
	// Kept is when the endpoints were last confirmed, if that was before the start.
	Kept time.Time `json:"endpoints_kept_of,omitzero"`
	// State describes how a function is doing, in lines, with the end of its log if it has failed.
	State  []string `json:"state,omitempty"`
	Origin string   `json:"origin"`
	// Steps lists the steps of a composition, by level.
	Steps []ComposedStep `json:"steps,omitempty"`
	// Request is what the backend would get; nil if it would get nothing.
	Request *Outbound `json:"request,omitempty"`
	// Answer is what the client gets if a filter answers instead of the backend.
	Answer *Answer `json:"answer,omitempty"`
}

// LeftEndpoint is an endpoint that may not be asked.
type LeftEndpoint struct {
	Address string        `json:"address"`
	State   service.State `json:"state"`
	Why     string        `json:"why,omitempty"`
}

// stands fills in which endpoints a service would ask, and which not and why.
func (b *BackendStep) stands(now service.Status) {
	b.Asks, b.Resting = now.Asks, now.Resting
	for _, e := range now.Endpoints {
		if e.Asked {
			b.Endpoints = append(b.Endpoints, e.Address)
			continue
		}
		left := LeftEndpoint{e.Address, e.State, e.Why}
		if e.Weight == 0 {
			left.Why = "its weight is 0"
		}
		b.Left = append(b.Left, left)
	}
}

// ComposedStep is a step of a composition.
type ComposedStep struct {
	Level  int      `json:"level"` // from 1; steps of one level do not wait for one another
	Name   string   `json:"name"`
	Call   string   `json:"call"`            // method, backend and path as they were written
	After  []string `json:"after,omitempty"` // the steps that it waits for
	Notes  []string `json:"notes,omitempty"`
	Origin string   `json:"origin"`
}

// Outbound is a request as a backend would get it.
type Outbound struct {
	Method string `json:"method"`
	Host   string `json:"host"`
	Target string `json:"target"` // path and query
	// Adds describes what else it carries: a token, a signature.
	Adds []string `json:"adds,omitempty"`
}

// Answer is a response that needed no backend.
type Answer struct {
	Status   int    `json:"status"`
	Code     string `json:"code,omitempty"` // of the problem, if it is one
	Detail   string `json:"detail,omitempty"`
	Location string `json:"location,omitempty"`
}

// ExplainedProblem is a fault with the text that only operators see.
type ExplainedProblem struct {
	Status   int    `json:"status"`
	Code     string `json:"code"`
	Detail   string `json:"detail,omitempty"`
	Operator string `json:"operator,omitempty"`
	// Problems lists the individual problems, if there is more than one.
	Problems []string `json:"problems,omitempty"`
}

// Explain returns what the snapshot does with r, as if r came from peer over socket and were authenticated as identity
// (nil: nobody). Of the body of r, if it has one, only the parts of a batch are read.
func (s *Snapshot) Explain(socket string, r *http.Request, peer netip.AddrPort, identity *exchange.Identity) Explanation {
	x := &exchange.Exchange{Identity: identity}
	s.open(x, r, &exchange.Connection{Peer: peer})
	return s.explain(socket, exchange.With(r, x), nil, nil)
}

// explain is Explain for a request whose caller is known. within is the request that it is made in, if any, and ended
// the fault that ended it before it began; nil: none.
func (s *Snapshot) explain(socket string, r *http.Request, within *exchange.Within, ended *fault.Fault) Explanation {
	x := exchange.Of(r)
	target, f := s.find(socket, r, x, nil, within)
	e := Explanation{
		Method: r.Method, Host: x.Host, Path: x.Path, Query: x.Query, Socket: socket,
		Client: x.Client.IP.String(), Preflight: preflightMethod(r), Target: written(r),
	}
	if identity := x.Identity; identity != nil {
		e.Identity = &Caller{identity.Issuer, identity.Subject, identity.Scopes}
	}
	for i := range x.Params.Len() {
		e.Params = append(e.Params, x.Params.At(i))
	}
	if l := s.listener(socket, x.Host); l != nil && x.Path != "" {
		e.Listener = &Place{l.Name, l.Origin.String()}
		e.Trace = l.Table.Explain(&route.Query{Method: matchedMethod(r, target), Host: x.Host, Path: x.Path, Request: r})
	}
	if x.Route != "" { // also if the route does not admit the request
		e.Route = &Place{x.Route, x.Origin.String()}
	}
	if target != nil {
		e.Preflighted = e.Preflight != "" && target.CORS
		if f = target.explain(r, &e, ended); f == nil && target.isBatch(r, &e) {
			e.Parts, f = s.parts(socket, target, r)
		}
	}
	if f = cmp.Or(ended, f); f != nil {
		e.Problem = &ExplainedProblem{f.Status, f.Code, f.Detail, f.Operator(), f.Problems}
	}
	return e
}

// isBatch reports whether r would be answered with the answers of its parts, as far as these are known.
func (t *Route) isBatch(r *http.Request, e *Explanation) bool {
	if t.Parts == nil || e.Preflighted || slices.ContainsFunc(e.Filters, func(s FilterStep) bool { return s.Verdict == Answers }) {
		return false
	}
	return r.Body != nil && r.Body != http.NoBody || exchange.Of(r).Inner
}

// parts explains the parts of a batch, each as if the assumed caller of the batch had sent it. A part that waits for
// one which will certainly fail is not served.
func (s *Snapshot) parts(socket string, target *Route, r *http.Request) ([]ExplainedPart, *fault.Fault) {
	parts, err := target.Parts(r)
	if err != nil {
		return nil, fault.From(err)
	}
	x := exchange.Of(r)
	within := exchange.Within{Of: x, ID: x.RequestID(), Group: target.Group}
	list := make([]ExplainedPart, len(parts))
	failed := map[string]bool{}
	for i, p := range parts { // each part comes after those that it waits for
		of := exchange.Exchange{Identity: x.Identity}
		s.within(&of, p.Request, within)
		var ended *fault.Fault
		if at := slices.IndexFunc(p.After, func(id string) bool { return failed[id] }); at >= 0 {
			ended = filter.FailedPart(p.After[at])
		}
		list[i] = ExplainedPart{s.explain(socket, exchange.With(p.Request, &of), &within, ended), p.ID, p.After}
		failed[p.ID] = list[i].fails()
	}
	return list, nil
}

// fails reports whether the answer is a failure whatever backends say, because none is asked.
func (e *Explanation) fails() bool {
	if e.Problem != nil {
		return true
	}
	asked := slices.DeleteFunc(slices.Clone(e.Backends), func(b BackendStep) bool { return !b.Chosen })
	if len(asked) == 0 { // the choice is left to chance
		asked = e.Backends
	}
	return len(asked) > 0 && !slices.ContainsFunc(asked, func(b BackendStep) bool { return b.Answer == nil || b.Answer.Status < http.StatusBadRequest })
}

// written returns path and query as received.
func written(r *http.Request) string {
	path, query := r.URL.EscapedPath(), r.URL.RawQuery
	if r.RequestURI != "" && r.RequestURI[0] == '/' { // see normalTarget
		path, query, _ = strings.Cut(r.RequestURI, "?")
	}
	if query != "" {
		path += "?" + query
	}
	return path
}

// matchedMethod returns the method with which the table was queried.
func matchedMethod(r *http.Request, target *Route) string {
	if asked := preflightMethod(r); asked != "" && target != nil && target.CORS {
		return asked
	}
	return r.Method
}

// explain adds what the route would do, and returns the fault in which its guards or the choice of a backend would end.
// ended is the fault that ended the request before; nil: none.
func (t *Route) explain(r *http.Request, e *Explanation, ended *fault.Fault) *fault.Fault {
	refused := t.ask(r, e, ended)
	if n := t.Forwarded; n != nil {
		e.Forwarded = &Forwarded{append([]string{}, n.Fields...), n.Origin.String()} // never null in JSON
	}
	chosen, f := t.chosen(r)
	if refused != nil {
		f = refused
	}
	for _, n := range t.Backends {
		step := BackendStep{Name: n.Name, When: n.When, Weight: n.Weight, Chosen: n.Name == chosen, Balance: n.Balance, Origin: n.Origin.String()}
		for _, s := range n.Steps {
			step.Steps = append(step.Steps, ComposedStep{s.Level + 1, s.Name, s.Call, s.After, s.Notes, s.Origin.String()})
		}
		if n.Endpoints != nil {
			step.Endpoints = n.Endpoints()
		}
		if n.Status != nil {
			step.stands(n.Status())
		}
		if n.Kept != nil {
			step.Kept = n.Kept()
		}
		if n.State != nil {
			step.State = n.State()
		}
		answers := f == nil && (chosen == "" || step.Chosen) && !e.Preflighted
		switch {
		case answers && t.Later != nil && t.Later.Takes(r):
			step.Answer = &Answer{Status: http.StatusAccepted}
		case answers && n.Rehearse != nil:
			step.Request, step.Answer = n.rehearse(r)
		}
		e.Backends = append(e.Backends, step)
	}
	return f
}

// ask lists the filters with the decisions of the guards among them, in order, and returns the fault in which the
// request ends. That is refused, if refused is already a fault.
func (t *Route) ask(r *http.Request, e *Explanation, refused *fault.Fault) *fault.Fault {
	ended := refused != nil
	for _, n := range t.Filters {
		step := FilterStep{Name: n.Name, On: n.On, Note: n.Note, Origin: n.Origin.String()}
		switch {
		case n.Ask == nil:
		case ended:
			step.Verdict = Unreached
		default:
			v := n.Ask(r)
			step.Verdict, step.Why = Passes, v.Why
			switch {
			case v.Fault != nil:
				step.Verdict, refused, ended = Refuses, v.Fault, true
			case v.Answers:
				step.Verdict, ended = Answers, true
			}
		}
		e.Filters = append(e.Filters, step)
	}
	return refused
}

// chosen returns the name of the variant for this request if it does not depend on chance.
func (t *Route) chosen(r *http.Request) (string, *fault.Fault) {
	if t.Choice == nil || !t.Choice.Certain(r) {
		return "", nil
	}
	v, err := t.Choice.Pick(r)
	if err != nil {
		return "", fault.From(err)
	}
	return v.Name, nil
}
