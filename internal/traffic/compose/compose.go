// Package compose is a backend made of calls to other backends: an http.RoundTripper that is a graph of RoundTrippers.
//
// Everything that can be decided when the composition is made is decided then: the graph (config.PlanOf over what the
// expressions read), the expressions, and the texts around them. A request only runs it. The goroutine that has made a
// call handles its end, under the lock of the request: it evaluates what can be evaluated then, starts each step whose
// inputs are complete, and goes on with one of the calls that this begins. Further goroutines begin only if there is
// more than one such call, and they have ended before RoundTrip returns.
//
// A step's request is built from nothing: only what its config names reaches it from the client's head. Beside that it
// carries the request's id, its trace context and its Via, which ends the loop of a composition that calls itself.
// Bodies are held in memory within bounds, as JSON in which unchanged parts keep their original bytes.
//
//   - compose.go: what a composition is made of.
//   - step.go, value.go: a step and its texts, made ready.
//   - run.go: one request: which step is next, and what a failure means.
//   - call.go: one call.
//   - cache.go: results that are kept, so that the call is not made again.
//   - stream.go: a body that is the whole answer, which is not held.
//   - trace.go: what a trace is told of steps.
//   - undo.go: taking back what was done if the composition fails.
//   - request.go, response.go: RoundTrip with the client's body, and the answer.
//   - fail.go: which problem a failure is.
package compose

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config"
)

// Options make a Composition.
type Options struct {
	// Backend returns the backend of a call: of a step, or of the call that takes a step back
	// (config.Composition.Calls).
	Backend func(call *config.Step) (Backend, error)
	Secret  func(secret.Template) (secret.Value, error)
	Log     *slog.Logger
	// Cache returns the meter of a step's cache; nil: nothing is counted.
	Cache func(step string) *telemetry.StepCache
}

// Backend is what a step calls.
type Backend struct {
	http.RoundTripper

	// Host is the Host that the step sends, unless its headers say otherwise.
	Host string
	// Total is the backend's own bound on a call, for steps that have none; 0: it has none.
	Total time.Duration
	// Through describes in a few words what stands between the step and the backend, for explain.
	Through []string
	// Retries says that the backend makes the step's further tries itself, as a service does, which knows other
	// endpoints.
	Retries bool
}

// Composition is safe for concurrent use.
type Composition struct {
	name   string
	log    *slog.Logger
	steps  []step
	result result
	timing bool
	// bodyBytes bounds the bodies of one request together, sent and received.
	bodyBytes int64
	// readsRequest says that some expression reads the client's body.
	readsRequest bool
	undoes       bool // some step can be taken back
	plan         []Planned
	streams      int // the step whose body is the answer and is not held; -1: none
}

// New makes c ready, which must be valid. Errors name the step.
func New(c *config.Composition, o Options) (*Composition, error) {
	made := &Composition{name: c.Name, log: o.Log, timing: c.Timing, bodyBytes: c.BodyBytes, steps: make([]step, len(c.Steps))}
	if made.log == nil {
		made.log = slog.Default()
	}
	if o.Cache == nil {
		o.Cache = func(string) *telemetry.StepCache { return nil }
	}
	b := builder{secret: o.Secret, backend: o.Backend, meter: o.Cache, reads: make([][]string, len(c.Steps))}
	for i := range c.Steps {
		b.at = i
		if err := b.step(&made.steps[i], &c.Steps[i]); err != nil {
			return nil, fmt.Errorf("step %s: %w", c.Steps[i].Name, err)
		}
	}
	b.at = -1 // what follows waits for no step
	for i := range c.Steps {
		if err := b.undo(&made.steps[i], &c.Steps[i]); err != nil {
			return nil, fmt.Errorf("undo of step %s: %w", c.Steps[i].Name, err)
		}
		made.undoes = made.undoes || made.steps[i].undo != nil
	}
	if err := b.result(&made.result, &c.Return); err != nil {
		return nil, fmt.Errorf("return: %w", err)
	}
	made.readsRequest = b.readsRequest
	if err := made.draw(c, &b); err != nil {
		return nil, err
	}
	return made, nil
}

// draw makes the graph.
func (c *Composition) draw(from *config.Composition, b *builder) error {
	names := make([]string, len(c.steps))
	for i := range c.steps {
		names[i] = c.steps[i].name
	}
	plan := config.PlanOf(names, b.reads)
	if plan.Cycle != nil {
		return fmt.Errorf("step %s waits for itself", names[plan.Cycle[0]]) // refused already when the config was read
	}
	for i := range c.steps {
		s := &c.steps[i]
		s.needs = len(plan.Needs[i])
		s.looksInto, s.keepsText = slices.Contains(b.bodies, s.name), slices.Contains(b.texts, s.name)
		s.decodes = s.looksInto || slices.Contains(b.wholes, s.name)
		s.readsHead = slices.Contains(b.heads, s.name)
		for _, n := range plan.Needs[i] {
			c.steps[n].dependents = append(c.steps[n].dependents, i)
		}
	}
	c.streams = c.streamed(b, from.Return.Body)
	for level, steps := range plan.Levels {
		for _, i := range steps {
			p := planned(level, &from.Steps[i], plan.Needs[i], names, c.steps[i].backend.Through)
			if i == c.streams {
				p.Notes = append(p.Notes, "passed on as it comes")
			}
			c.plan = append(c.plan, p)
		}
	}
	return nil
}

// builder makes the parts of a composition ready, and notes what they read.
type builder struct {
	secret  func(secret.Template) (secret.Value, error)
	backend func(*config.Step) (Backend, error)
	meter   func(step string) *telemetry.StepCache
	at      int        // index of the step being made; -1: not a step
	reads   [][]string // names of steps, by the step that reads them
	// bodies, texts and heads name the steps of which an expression reads the body, the text, or the status or headers.
	bodies, texts, heads []string
	wholes               []string // steps whose body is taken as it is
	readsRequest         bool
}

// readsWhole notes that the body of a step is taken as it is.
func (b *builder) readsWhole(name string) {
	b.wholes = append(b.wholes, name)
	if b.at >= 0 {
		b.reads[b.at] = append(b.reads[b.at], name)
	}
}

// program compiles e, and notes what it reads; it returns nil if e is nil.
func (b *builder) program(e *config.Expr, want expr.Type, scope expr.Scope) (*expr.Program, error) {
	if e == nil {
		return nil, nil
	}
	p, err := expr.Compile(e.Source, want, scope)
	if err != nil {
		return nil, err
	}
	reads := p.Reads()
	if b.at >= 0 {
		b.reads[b.at] = append(b.reads[b.at], reads.Steps...)
	}
	b.bodies = append(b.bodies, reads.StepBodies...)
	b.texts = append(b.texts, reads.StepTexts...)
	b.heads = append(b.heads, reads.StepHeads...)
	b.readsRequest = b.readsRequest || reads.RequestBody
	return p, nil
}

// Planned is a step as explain shows it.
type Planned struct {
	Level int // from 0; determined by the longest chain of steps before it
	Name  string
	Call  string   // method, backend and path as they were written
	After []string // the steps whose results it reads
	Notes []string // how it differs from a plain call
	// Origin is where it was written.
	Origin config.Origin
}

// Plan returns the steps by level, and within a level in their order. The caller must not change it.
func (c *Composition) Plan() []Planned { return c.plan }

// target describes a call's method, path and backend, as they were written.
func target(s *config.Step) string {
	if strings.HasPrefix(s.Ref.Rest, "//") {
		return s.Method + " " + s.Ref.String() + s.Path.Text
	}
	return s.Method + " " + s.Path.Text + " of " + s.Ref.String()
}

func planned(level int, s *config.Step, needs []int, names, through []string) Planned {
	p := Planned{Level: level, Name: s.Name, Call: target(s), Origin: s.Origin}
	for _, n := range needs {
		p.After = append(p.After, names[n])
	}
	if s.When != nil {
		p.Notes = append(p.Notes, "when "+s.When.Source)
	}
	if s.Each != nil {
		p.Notes = append(p.Notes, fmt.Sprintf("for each of %s, %d at once", s.Each.Source, s.Parallel))
	}
	if s.Timeout != 0 {
		limit := "without a time-out"
		if s.Timeout != config.NoTimeout {
			limit = "within " + s.Timeout.String()
		}
		p.Notes = append(p.Notes, limit)
	}
	if s.Else != nil {
		p.Notes = append(p.Notes, "with an else")
	}
	if s.Cache != nil {
		p.Notes = append(p.Notes, cacheNote(s.Cache))
	}
	for _, what := range through {
		p.Notes = append(p.Notes, "through "+what)
	}
	if s.Undo != nil {
		p.Notes = append(p.Notes, "undone by "+target(s.Undo))
	}
	return p
}
