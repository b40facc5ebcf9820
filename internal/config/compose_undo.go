package config

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// undoForm is the call that undoes a step: its backend alone, or a map.
type undoForm struct {
	To      *doc.Node    `doc:"to" help:"the backend; a URL includes the path to send; the step's by default" example:"http://orders:8080/orders/{=steps.order.body.id}"`
	Path    *doc.Node    `doc:"path" help:"the path to send; the step's by default" example:"/orders/{=steps.order.body.id}"`
	Method  string       `doc:"method" help:"the method; by default DELETE, or POST if there is a body" example:"PUT"`
	Query   Fields       `doc:"query" help:"query parameters" example:"{reason: rolled-back}"`
	Headers Fields       `doc:"headers" help:"header fields" example:"{Authorization: =request.headers.authorization}"`
	Body    *Tree        `doc:"body" help:"the body to send: JSON with expressions" example:"{state: cancelled}"`
	Timeout *bound       `doc:"timeout" help:"the time for one call; by default the service's total, else 30s" example:"5s"`
	Retry   *retryForm   `doc:"retry" help:"retries, for any method; 2 by default" example:"5"`
	Status  statusesForm `doc:"status" help:"what statuses mean: ok or fail; 2xx, 404 and 410 are ok by default" example:"{409: ok}"`
	At      doc.Pos      `doc:"-,pos"`
}

// plainUndo is undoForm without its short form.
type plainUndo undoForm

func (u *undoForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Scalar {
		n = n.Under("to")
	}
	u.At = n.Pos
	doc.Decode(n, (*plainUndo)(u), ps)
}

// DocSchema implements doc.SchemaWriter.
func (undoForm) DocSchema() *doc.Schema { return doc.SchemaOr[plainUndo](text("a backend")) }

// undo lowers the call that undoes step s.
func (l *loader) undo(form *undoForm, s *Step, group string, ps *doc.Problems) *Step {
	u := &Step{
		Name: s.Name, Origin: Origin{Pos: form.At}, Method: form.Method, Query: form.Query, Headers: form.Headers, Body: form.Body,
		Retry: form.Retry.retry(), Statuses: form.Status, BodyBytes: DefaultStepBody,
	}
	u.Retry = new(u.Tries())
	if form.Timeout != nil {
		u.Timeout = time.Duration(*form.Timeout)
	}
	switch {
	case u.Method != "":
	case u.Body != nil:
		u.Method = http.MethodPost
	default:
		u.Method = http.MethodDelete
	}
	l.stepTarget(u, &stepForm{To: form.To, Path: form.Path}, group, ps)
	if form.To == nil {
		u.Ref = s.Ref
		if form.Path == nil {
			u.Path = s.Path
		}
	}
	return u
}

// Tries returns the further tries of a call that undoes a step.
func (s *Step) Tries() Retry {
	r := Retry{Attempts: DefaultUndoAttempts}
	if s.Retry != nil {
		r = *s.Retry
	}
	if r.Statuses == nil {
		r.Statuses = []int{http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}
	}
	return r
}

// UndoStatus says what a status means in the answer to an undo call if no rule covers it. Something that no longer
// exists needs no undoing.
func UndoStatus(status int) StatusAction {
	if status/100 == 2 || status == http.StatusNotFound || status == http.StatusGone {
		return StatusOK
	}
	return StatusFail
}

// undo checks the call that undoes a step.
func (g *graph) undo(i int) {
	s := &g.composition.Steps[i]
	u := s.Undo
	if u == nil {
		return
	}
	at := u.Origin.at()
	if httpx.IsSafe(s.Method) {
		g.add(at, fmt.Sprintf("the step %q has undo, and a %s changes nothing", s.Name, s.Method), "", "remove undo, or say method")
	}
	if httpx.IsSafe(u.Method) && isMethod(u.Method) {
		g.add(at, fmt.Sprintf("the undo of the step %q is a %s, which changes nothing", s.Name, u.Method), "", "leave method out for DELETE, or with a body for POST")
	}
	if s.Timeout == NoTimeout {
		g.add(s.Origin.at(), fmt.Sprintf("the step %q has undo but no time-out", s.Name), "it always runs to its end, so that Weir knows what to undo", "write a time such as 10s")
	}
	for _, e := range s.undoExpressions() {
		if u.Path == s.Path && e.Field == s.Name+".undo.path" {
			continue // the step's own path, whose problem has been reported
		}
		reads, ok := g.expressionOf(e, s)
		if !ok {
			continue
		}
		for _, name := range reads.Steps {
			g.read[name] = true
			if name != s.Name {
				g.undoReads = append(g.undoReads, undoRead{i, name, e})
			}
		}
	}
	if s.Undo.Timeout == NoTimeout {
		g.add(at, fmt.Sprintf("the undo of the step %q has no time-out", s.Name), "the client waits for it", "write a time such as 5s")
	}
	for _, r := range u.Statuses {
		if r.Do == StatusPass {
			g.add(at, fmt.Sprintf("the undo of the step %q passes on a status", s.Name), "the client is told why the composition failed", "write ok or fail")
		}
	}
	if !u.Ref.unset() {
		g.reference(u.Ref)
	}
	g.target(u)
	g.undoShape(u)
}

// undoShape checks what an undo call has in common with steps.
func (g *graph) undoShape(u *Step) {
	if !isMethod(u.Method) || u.Method == http.MethodConnect || u.Method == http.MethodTrace {
		g.add(u.Origin.at(), fmt.Sprintf("the undo of the step %q has the method %q", u.Name, u.Method), "", suggest(u.Method, methods(), "write DELETE, POST, PUT or PATCH"))
	}
	g.retry(u.Retry, u.Origin, false)
	for _, f := range u.Headers {
		g.field(f)
	}
}

// undoRead is a read of another step by an undo.
type undoRead struct {
	by   int // the step that the undo belongs to
	name string
	e    Expression
}

// undoesAfter checks that an undo reads only steps that have certainly run when it is called.
func (g *graph) undoesAfter(plan Plan) {
	names := g.names()
	for _, r := range g.undoReads {
		at := slices.Index(names, r.name)
		if at < 0 || plan.waits(r.by, at) {
			continue
		}
		g.add(r.e.findStep(r.name), fmt.Sprintf("the undo of the step %q reads the step %q, which may not have run when it is called", names[r.by], r.name),
			"it is called as soon as the composition has failed", fmt.Sprintf("read what %s waits for, or %s itself", names[r.by], names[r.by]))
	}
}

// waits reports whether step a starts only after step b is done.
func (p *Plan) waits(a, b int) bool {
	for _, n := range p.Needs[a] {
		if n == b || p.waits(n, b) {
			return true
		}
	}
	return false
}

// undoExpressions returns all expressions of a step's undo, with the types that they must have.
func (s *Step) undoExpressions() []Expression {
	if s.Undo == nil {
		return nil
	}
	scope := expr.Request | expr.Steps
	if s.Each != nil {
		scope |= expr.Item
	}
	list := s.Undo.callExpressions(s.Name+".undo", scope)
	return slices.DeleteFunc(list, unwritten)
}

// UndoReadsItself reports whether the undo of the step needs the step's result.
func (s *Step) UndoReadsItself() bool {
	return slices.ContainsFunc(s.undoExpressions(), func(e Expression) bool {
		program, err := expr.Compile(e.Source, e.Want, e.Scope)
		return err == nil && slices.Contains(program.Reads().Steps, s.Name)
	})
}

// undo prints the call that undoes a step.
func (e expander) undo(u *Step) *doc.Node {
	if u == nil {
		return nil
	}
	f := newFields()
	f.text("to", u.Ref.String(), u.Origin.comment())
	f.text("path", u.Path.Text, "")
	f.text("method", u.Method, "")
	f.put("query", u.Query.EncodeDoc(), "")
	f.put("headers", u.Headers.EncodeDoc(), "")
	f.tree("body", u.Body)
	if u.Timeout != 0 {
		f.put("timeout", durationNode(u.Timeout), "")
	}
	f.put("retry", retryNode(u.Retry), "")
	f.put("status", statusesForm(u.Statuses).EncodeDoc(), "")
	return &f.Node
}
