// Package filter is the contract of the policies on a route. Each child folder
// is one filter: its config struct (what people write, with its docs), its
// schema, its behaviour, its README whose examples are run, and its tests.
// Folder all lists them.
//
// A filter that guards (may this request pass, and with which response fields?)
// is a func(http.Handler) http.Handler. One that adapts payloads is a
// func(http.RoundTripper) http.RoundTripper, where a response is a value. Both
// keep the rules of package exchange. A guard that cannot decide denies. One that
// keeps nothing of what passes it says so (Policy.KeepsNothing), for that makes requests cheaper.
package filter

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/keep"
	"github.com/weir-gateway/weir/internal/base/queue"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/base/sockets"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config"
)

// Stage is a filter's place in the fixed order, which is the same on every
// route and printed by `weir explain`. Smaller is outer: it sees the request
// earlier and the response later.
type Stage int

// The order. Guards come before adapters.
const (
	StageHeaders         Stage = iota // fields of request and response; outermost, so that every guard's errors have them
	StageSecurity                     // fields that tell browsers to be careful; for every guard's errors, too
	StageBatch                        // notes what the client has said, for the parts of a batch; the innermost would miss what auth takes out
	StageBounds                       // body and connection limits
	StageIP                           // ip rules
	StageCORS                         // cors: a preflight ends here
	StageCSRF                         // what pages of other sites send
	StageLimit                        // limits whose key does not mention auth
	StageAuth                         // who is it
	StageAllow                        // may they
	StageLimitByIdentity              // limits whose key mentions auth
	StageWAF
	StageValidate
	StageCompress
	StageAsync     // takes what has come so far, and sends it later through the adapters
	StageWebSocket // ends WebSockets, and sends their events through all that follows
	StageCache     // adapters from here on; keyed by the chosen backend
	StageMirror
	StageTransform
	StageRewrite // path and host towards the backend
	StageSign    // of what all others have made of the request
	StageFault
	StageRespond // answers by itself
)

// Env is what a filter may need to build itself. All of it may be used by
// several goroutines.
type Env struct {
	// Backend resolves a reference, so that a filter may call a backend
	// (external authorization, introspection); cycles are refused by the compiler.
	Backend func(config.Ref) (http.RoundTripper, error)
	// Auth gives a way of recognising callers by its name.
	Auth func(name string) (auth.Way, error)
	// Secret resolves a secret; when a config is only checked it gives placeholders.
	Secret func(secret.Template) (secret.Value, error)
	// Keep holds state that lives longer than one snapshot; it is used by keep.In.
	Keep keep.Keeper
	// Queue gives the queue that outlives the process, once it takes jobs; its error says
	// why it does not. When a config is only checked both are nil.
	Queue func() (*queue.Queue, error)
	// Sockets know the WebSockets that end here; nil when a config is only checked.
	Sockets *sockets.Hub
	// Bounds are where what the filter itself calls may be; nil bounds nothing.
	Bounds *egress.Bounds
	// Meter is the route's, for what a filter counts of its own (see Counter); nil
	// counts nothing. What it answers with a problem is counted already.
	Meter *telemetry.Route
	Log   *slog.Logger // never nil in build
	Route string       // the route's name, for logs
	Group string
	// Authority is the host of the one backend that the filter stands at, with its port where the URL
	// has one; "" where that is no URL, or where there are several.
	Authority string
	// Hosts are the names, in lower case, that the route or a listener of it has without a wildcard.
	Hosts func() []string
	Nth   int // how many filters of this kind stand at this place of the route before it
}

// Policy is a built filter: at least one of Guard and Adapt is set.
type Policy struct {
	Guard func(http.Handler) http.Handler
	Adapt func(http.RoundTripper) http.RoundTripper
	// Ask tells what Guard would do with r, by the same code and without doing it:
	// nothing is counted, logged or sent. r belongs to an exchange whose identity may
	// be assumed. It is nil where the guard lets everything pass. Where a config is
	// only checked it is asked, too, so it must not rely on what Keep would give.
	Ask func(r *http.Request) Verdict
	// Tell puts on r, which belongs to an exchange whose caller is known and is sent later than
	// the guards have run, what its backend is told of the caller. It may be nil.
	Tell func(r *http.Request) *fault.Fault
	// Later is set where Adapt takes requests and sends them later. Such an adapter is the
	// outermost one, whatever its stage, and Adapt is called once.
	Later *Later
	// Way is set where Adapt ends WebSockets: how functions are told of them. Adapt is called once then.
	Way sockets.Way
	// BodyBytes replaces the config's limit of request bodies on the route, which
	// the proxy holds while a body comes; 0 is no bound, nil leaves it.
	BodyBytes *int64
	// Transparent tells that Adapt changes neither requests nor responses, so that
	// explain may leave it out.
	Transparent bool
	// KeepsNothing tells that the code of Guard and Adapt was read, with all that they call:
	//   - When it has returned, nothing has the exchange, its request, response, heads or contexts,
	//     texts excepted: no goroutine, cache, timer, queue, or body of its own.
	//   - Guard changes nothing of its request but the head.
	//   - Adapt passes on the very request that it was given, and once at most. Afterwards that may have the
	//     context of an attempt, which has ended: who waits then asks exchange.MakerContext.
	//
	// Where all filters of a route say so, what its request is made of is the next one's
	// (see exchange.Exchange.Alone). False is right for who does not know.
	KeepsNothing bool
	// Rehearse is set where Adapt does more than change what passes through it, and does to a request
	// that nobody sends what Adapt would, as far as that asks nobody. It says what is added that only
	// sending tells, as a signature; nothing secret. Errors are what the client would be told.
	Rehearse func(r *http.Request) (adds []string, err error)
	// Parts is set where Adapt answers a request with others, which go to the routes of the route's own group. It reads the
	// body of r, BodyBytes of it at most, and gives them, and sends none. Errors are what the client would be told. It may be nil.
	Parts func(r *http.Request) ([]Part, error)
	// Bodies tells that Adapt asks for the request's body, so that explain, which has
	// none, does not run it.
	Bodies bool
	// ForOneBackend tells that what Adapt does is about one backend: where a route has
	// several, the filter stands on each of these instead.
	ForOneBackend bool
	// Note says in a few words what it does here, for explain: "2 origins, credentials".
	Note string
	// Close is called once no snapshot uses the policy any more; it may be nil.
	Close func()
}

// Part is a request that is made within another one.
type Part struct {
	ID      string
	After   []string // the ids of parts that it waits for
	Request *http.Request
}

// FailedPart is what becomes of a part that waits for the one of that id, which has failed.
func FailedPart(id string) *fault.Fault {
	return fault.FailedDependency.New(fmt.Sprintf("The part %q has failed.", id))
}

// Later is how a filter sends what it has taken.
type Later struct {
	// Path is the pattern of the path where who has sent a request asks what became of it, and
	// Status answers there by GET and DELETE, behind the route's guards.
	Path   string
	Status http.RoundTripper
	// Takes tells whether r would be taken, rather than answered at once.
	Takes func(r *http.Request) bool
	// Recall is called before these, for what the route's pattern had captured of the request.
	Recall func(r *http.Request)
	// Lane is how the jobs of the route are sent, but for Run, which makes an attempt: it stands
	// beside, for it is to run by the snapshot of its moment.
	Lane queue.Lane
	Run  func(ctx context.Context, a queue.Attempt, spans Spans) queue.Outcome
	// Tell is set by who makes the route: what the guards' own Tells do together; nil: nothing.
	Tell func(r *http.Request) *fault.Fault
}

// Spans make the span of an attempt.
type Spans interface {
	Begin(r *http.Request, x *exchange.Exchange)
	End(r *http.Request, x *exchange.Exchange, o exchange.Outcome)
}

// RouteLane is the kind of the lanes of routes; a lane is called as its route.
const RouteLane = "route"

// Verdict is what a guard decides about one request.
type Verdict struct {
	// Why tells operators which rule decided, and what it went by; never a secret.
	Why string
	// Fault is the answer where the request does not pass, nil where it does.
	Fault *fault.Fault
	// Answers tells that the guard answers by itself, without a fault, as cors
	// answers a preflight.
	Answers bool
}

// Definition is one kind of filter. Make it with Define.
type Definition struct {
	Name    string
	Summary string
	Stage   Stage
	New     func() any
	Build   func(env Env, config any) (Policy, error)
	// Place and Split are those of filters whose place depends on their config; see
	// Placed. Both may be nil.
	Place func(config any) Stage
	Split func(config any) []any
}

// Define makes a Definition for config struct C. defaults gives a fresh value
// each time, never a shared one: a slice in a shared default would leak from
// one route to another when decoded into. build has no side effects: it starts
// no goroutine and opens no connection but through keep.In, for `weir check` calls
// it too. Its error is told to the config's writer at the filter's place.
func Define[C any](name, summary string, stage Stage, defaults func() C, build func(Env, *C) (Policy, error)) Definition {
	return Definition{
		Name: name, Summary: summary, Stage: stage,
		New: func() any { c := defaults(); return &c },
		Build: func(env Env, cfg any) (Policy, error) {
			c, ok := cfg.(*C)
			if !ok {
				return Policy{}, fmt.Errorf("filter %s: its config is %T, not %T", name, cfg, c)
			}
			if env.Log == nil {
				env.Log = slog.New(slog.DiscardHandler)
			}
			return build(env, c)
		},
	}
}

// Placed is d with a place that depends on the config. Where one config has pieces
// of different places, split parts it into one for each place, and these stand on
// the route as filters of their own.
func Placed[C any](d Definition, place func(*C) Stage, split func(*C) []*C) Definition {
	d.Place = func(config any) Stage {
		if c, ok := config.(*C); ok {
			return place(c)
		}
		return d.Stage
	}
	d.Split = func(config any) []any {
		c, ok := config.(*C)
		if !ok {
			return []any{config}
		}
		var pieces []any
		for _, piece := range split(c) {
			pieces = append(pieces, piece)
		}
		return pieces
	}
	return d
}

// StageOf is the place of the filter that a config makes.
func (d Definition) StageOf(config any) Stage {
	if d.Place != nil {
		return d.Place(config)
	}
	return d.Stage
}

// perBackend tells whether the filter may stand on one of a route's backends: the
// adapters may, and headers, which is one too.
func (d Definition) perBackend() bool { return d.Stage == StageHeaders || d.Stage >= StageCache }

// Kind is the definition as the config's vocabulary knows it.
func (d Definition) Kind() config.Kind {
	return config.Kind{
		Name: d.Name, Summary: d.Summary, Order: int(d.Stage), PerBackend: d.perBackend(), Identifies: d.Stage == StageAuth,
		Place: func(config any) int { return int(d.StageOf(config)) }, Split: d.Split, New: d.New,
	}
}
