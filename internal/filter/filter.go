// Package filter is the contract of the policies on a route. Each child folder is one filter: its config struct (what
// people write, with its docs), its schema, its behaviour, its README whose examples are run, and its tests. Folder all
// lists them.
//
// A filter that guards (may this request pass, and with which response header fields?) is a func(http.Handler)
// http.Handler. A filter that adapts payloads is a func(http.RoundTripper) http.RoundTripper, where a response is a
// value. Both follow the rules of package exchange. A guard that cannot decide denies. A filter that keeps nothing of
// what passes it declares that (Policy.KeepsNothing), because it makes requests cheaper.
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

// Stage is a filter's place in the fixed order, which is the same on every route and is printed by `weir explain`. A
// smaller stage is further out: it sees the request earlier and the response later.
type Stage int

// The order. Guards come before adapters.
const (
	StageHeaders         Stage = iota // header fields of request and response; outermost, so that every guard's errors have them
	StageSecurity                     // header fields that make browsers more careful; also for every guard's errors
	StageBatch                        // notes what the client has sent, for the parts of a batch; further in, it would miss what auth removes
	StageBounds                       // body and connection limits
	StageIP                           // ip rules
	StageCORS                         // cors: a preflight ends here
	StageCSRF                         // requests that pages of other sites send
	StageLimit                        // limits whose key does not mention auth
	StageAuth                         // who is it
	StageAllow                        // may they
	StageLimitByIdentity              // limits whose key mentions auth
	StageWAF
	StageValidate
	StageCompress
	StageAsync     // takes the request as it has arrived here, and sends it later through the adapters
	StageWebSocket // ends WebSockets, and sends their events through all that follows
	StageCache     // adapters from here on; keyed by the chosen backend
	StageMirror
	StageTransform
	StageRewrite // path and host towards the backend
	StageSign    // signs what all others have made of the request
	StageFault
	StageRespond // answers by itself
)

// Env is what a filter may need to build itself. All of it may be used by several goroutines.
type Env struct {
	// Backend resolves a reference, so that a filter may call a backend (external authorization, introspection); the
	// compiler rejects cycles.
	Backend func(config.Ref) (http.RoundTripper, error)
	// Auth returns a way of recognising callers by its name.
	Auth func(name string) (auth.Way, error)
	// Secret resolves a secret; when a config is only checked it returns placeholders.
	Secret func(secret.Template) (secret.Value, error)
	// Keep holds state that lives longer than one snapshot; it is used by keep.In.
	Keep keep.Keeper
	// Queue returns the queue that outlives the process, once it accepts jobs; its error says why it does not. Both are
	// nil when a config is only checked.
	Queue func() (*queue.Queue, error)
	// Sockets knows the WebSockets that end here; nil when a config is only checked.
	Sockets *sockets.Hub
	// Bounds limit the addresses that the filter itself may call; nil is no limit.
	Bounds *egress.Bounds
	// Meter is the route's meter, for what a filter counts of its own (see Counter); nil counts nothing. Answers with a
	// problem are counted already.
	Meter *telemetry.Route
	Log   *slog.Logger // never nil in build
	Route string       // the route's name, for logs
	Group string
	// Authority is the host of the one backend that the filter is attached to, with its port if the URL has one; "" if
	// the backend is not a URL, or if there are several.
	Authority string
	// Hosts returns the host names without a wildcard, in lower case, of the route or of its listeners.
	Hosts func() []string
	Nth   int // how many filters of this kind precede it at this place of the route
}

// Policy is a built filter: at least one of Guard and Adapt is set.
type Policy struct {
	Guard func(http.Handler) http.Handler
	Adapt func(http.RoundTripper) http.RoundTripper
	// Ask returns what Guard would do with r, using the same code but without doing it: nothing is counted, logged or
	// sent. r belongs to an exchange whose identity may be assumed. Ask is nil if the guard lets everything pass. It is
	// also called when a config is only checked, so it must not rely on what Keep would return.
	Ask func(r *http.Request) Verdict
	// Tell adds to r what its backend is told about the caller. It is for a request that is sent later, after the
	// guards have run; r belongs to an exchange whose caller is known. Tell may be nil.
	Tell func(r *http.Request) *fault.Fault
	// Later is set if Adapt takes requests and sends them later. Such an adapter is the outermost one, whatever its
	// stage, and Adapt is called once.
	Later *Later
	// Way is set if Adapt ends WebSockets: how functions are told about them. Adapt is then called once.
	Way sockets.Way
	// BodyBytes replaces the config's limit for request bodies on the route, which the proxy enforces while a body
	// arrives; 0 is no limit, nil keeps the config's.
	BodyBytes *int64
	// Transparent reports that Adapt changes neither requests nor responses, so that explain may leave it out.
	Transparent bool
	// KeepsNothing reports that the code of Guard and Adapt, and all code that they call, was reviewed and meets these
	// conditions:
	//   - When it has returned, nothing holds the exchange, its request, response, heads or contexts, except for
	//     strings: no goroutine, cache, timer, queue, or body of its own.
	//   - Guard changes nothing of its request but the head.
	//   - Adapt passes on the very request that it was given, at most once. Afterwards that request may have the
	//     context of an attempt, which has ended: code that waits after that must use exchange.MakerContext.
	//
	// If all filters of a route declare this, the memory of a request is reused for the next one (see
	// exchange.Exchange.Alone). If in doubt, leave it false.
	KeepsNothing bool
	// Rehearse is set if Adapt does more than change what passes through it. It does to a request that is never sent
	// what Adapt would do, as far as that sends no requests of its own. It returns what is added only on sending, such
	// as a signature, and nothing secret. Errors are what the client would get.
	Rehearse func(r *http.Request) (adds []string, err error)
	// Parts is set if Adapt answers a request by making other requests, which go to the routes of the route's own
	// group. It reads the body of r, at most BodyBytes of it, and returns these requests without sending any. Errors
	// are what the client would get. It may be nil.
	Parts func(r *http.Request) ([]Part, error)
	// Bodies reports that Adapt needs the request's body. explain has none, so it does not run Adapt.
	Bodies bool
	// ForOneBackend reports that what Adapt does concerns one backend. A route with several backends is refused with
	// this filter; it must be written under each backend instead.
	ForOneBackend bool
	// Note describes in a few words what the filter does here, for explain: "2 origins, credentials".
	Note string
	// Close is called once no snapshot uses the policy any more; it may be nil.
	Close func()
}

// Part is a request that is made within another one.
type Part struct {
	ID      string
	After   []string // the ids of the parts that it waits for
	Request *http.Request
}

// FailedPart returns the fault of a part that waits for the part with that id, which has failed.
func FailedPart(id string) *fault.Fault {
	return fault.FailedDependency.New(fmt.Sprintf("The part %q has failed.", id))
}

// Later is how a filter sends the requests that it has taken.
type Later struct {
	// Path is the path pattern at which a client asks what became of its request. Status answers there, by GET and
	// DELETE, behind the route's guards.
	Path   string
	Status http.RoundTripper
	// Takes reports whether r would be taken, rather than answered at once.
	Takes func(r *http.Request) bool
	// Recall is called for a request to Path before the guards see it. It gives r what the route's pattern had captured
	// from the original request.
	Recall func(r *http.Request)
	// Lane is how the jobs of the route are sent, without its Run. Run, which makes an attempt, is separate, because it
	// must use the snapshot that serves at that moment.
	Lane queue.Lane
	Run  func(ctx context.Context, a queue.Attempt, spans Spans) queue.Outcome
	// Tell is set by the code that builds the route: the combined effect of the guards' own Tells; nil does nothing.
	Tell func(r *http.Request) *fault.Fault
}

// Spans creates the span of an attempt.
type Spans interface {
	Begin(r *http.Request, x *exchange.Exchange)
	End(r *http.Request, x *exchange.Exchange, o exchange.Outcome)
}

// RouteLane is the kind of the lanes of routes; a lane has the name of its route.
const RouteLane = "route"

// Verdict is what a guard decides about one request.
type Verdict struct {
	// Why tells operators which rule decided, and on what basis; it never contains a secret.
	Why string
	// Fault is the answer if the request does not pass, nil if it does.
	Fault *fault.Fault
	// Answers reports that the guard answers by itself, without a fault, as cors answers a preflight.
	Answers bool
}

// Definition is one kind of filter. Make it with Define.
type Definition struct {
	Name    string
	Summary string
	Stage   Stage
	New     func() any
	Build   func(env Env, config any) (Policy, error)
	// Place and Split are set for filters whose place depends on their config; see Placed. Both may be nil.
	Place func(config any) Stage
	Split func(config any) []any
}

// Define makes a Definition for config struct C. defaults returns a fresh value each time, never a shared one: a slice
// in a shared default would leak from one route to another when decoded into. build has no side effects: it starts no
// goroutine and opens no connection except through keep.In, because `weir check` calls it too. Its error is reported to
// the config's author at the filter's place.
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

// Placed returns d with a place that depends on the config. If one config has pieces for different places, split
// divides it into one config for each place, and these become separate filters on the route.
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

// StageOf returns the stage of the filter that a config describes.
func (d Definition) StageOf(config any) Stage {
	if d.Place != nil {
		return d.Place(config)
	}
	return d.Stage
}

// perBackend reports whether the filter may be attached to one of a route's backends. That holds for adapters, and for
// headers, which is an adapter too.
func (d Definition) perBackend() bool { return d.Stage == StageHeaders || d.Stage >= StageCache }

// Kind returns the definition in the form that the config's vocabulary uses.
func (d Definition) Kind() config.Kind {
	return config.Kind{
		Name: d.Name, Summary: d.Summary, Order: int(d.Stage), PerBackend: d.perBackend(), Identifies: d.Stage == StageAuth,
		Place: func(config any) int { return int(d.StageOf(config)) }, Split: d.Split, New: d.New,
	}
}
