package config

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// indexCompositions adds compositions to the table of names.
func (c *validator) indexCompositions() {
	for i := range c.c.Compositions {
		m := &c.c.Compositions[i]
		if strings.Contains(m.Name, " ") { // of a route, see inlineName
			if first, taken := c.compositions[m.Name]; taken {
				c.twice("composition", m.Name, m.Origin, first.Origin)
				continue
			}
		} else if !c.freeName("composition", m.Name, m.Origin) {
			continue
		}
		c.compositions[m.Name] = m
	}
}

// compositionNames are those that can be named alone.
func (c *validator) compositionNames() []string {
	return slices.DeleteFunc(slices.Collect(maps.Keys(c.compositions)), func(name string) bool { return strings.Contains(name, " ") })
}

// composed returns the composition that ref names, nil if it names something else.
func (c *validator) composed(ref Ref) *Composition {
	if ref.Scheme == "" || ref.Scheme == composeScheme {
		return c.compositions[ref.Rest]
	}
	return nil
}

// composing checks the compositions.
func (c *validator) composing() {
	for i := range c.c.Compositions {
		c.composition(&c.c.Compositions[i])
	}
	for i := range c.roughCompositions {
		if len(c.roughCompositions[i].Steps) == 0 {
			continue // its steps may be the ones that would seem missing
		}
		g := newGraph(c, &c.roughCompositions[i])
		g.rough = true
		g.check()
	}
	c.nesting()
	for i := range c.c.Routes {
		c.routeComposes(&c.c.Routes[i])
	}
}

// composition checks one composition.
func (c *validator) composition(m *Composition) {
	if len(m.Steps) == 0 {
		c.add(m.Origin.at(), fmt.Sprintf("the composition %q has no steps", m.Name), "so it could never answer anything", "add a step")
	}
	if len(m.Steps) > maxSteps {
		c.add(m.Origin.at(), fmt.Sprintf("the composition %q has %d steps", m.Name, len(m.Steps)), fmt.Sprintf("there may be %d", maxSteps), "move some of them into a composition of their own")
		return
	}
	c.bodyBytes(m.BodyBytes, m.Origin, fmt.Sprintf("the composition %q", m.Name))
	newGraph(c, m).check()
	c.compositionGrants(m)
}

func newGraph(c *validator, m *Composition) *graph {
	return &graph{validator: c, composition: m, reads: make([][]string, len(m.Steps)), read: map[string]bool{}}
}

// check checks all steps, and the graph if it can be drawn.
func (g *graph) check() {
	for i := range g.composition.Steps {
		g.step(i)
	}
	g.result()
	if !g.duplicates() && !g.rough {
		g.plan()
	}
}

func (c *validator) bodyBytes(n int64, at Origin, what string) {
	if n < 0 || n > maxBodyBytes {
		c.add(at.at(), fmt.Sprintf("%s has a max_body of %s", what, doc.Size(n)), "bodies are held in memory", fmt.Sprintf("write at most %s", doc.Size(maxBodyBytes)))
	}
}

// graph is a composition whose expressions are checked.
type graph struct {
	*validator

	composition *Composition
	reads       [][]string      // names of steps, by the step that reads them
	read        map[string]bool // steps that something reads
	rough       bool            // something could not be read, so a missing part proves nothing
	undoReads   []undoRead
}

func (g *graph) names() []string {
	names := make([]string, len(g.composition.Steps))
	for i := range g.composition.Steps {
		names[i] = g.composition.Steps[i].Name
	}
	return names
}

// duplicates checks that each step has a name of its own, by which expressions can read it.
func (g *graph) duplicates() bool {
	names := g.names()
	twice := false
	for i, name := range names {
		if first := slices.Index(names, name); first < i {
			twice = true
			g.twice("step", name, g.composition.Steps[i].Origin, g.composition.Steps[first].Origin)
		}
	}
	return twice
}

// Expressions returns all expressions of a step, without those of its undo, with the types that they must have.
func (s *Step) Expressions() []Expression {
	const scope = expr.Request | expr.Steps
	call := scope
	if s.Each != nil {
		call |= expr.Item
	}
	list := []Expression{
		{Expr: s.When, Field: s.Name + ".when", Want: expr.Bool, Scope: scope},
		{Expr: s.Each, Field: s.Name + ".each", Want: expr.List, Scope: scope},
	}
	list = append(list, s.callExpressions(s.Name, call)...)
	list = append(list, s.Cache.expressions(s, call)...)
	for _, e := range s.Else.Expressions() {
		list = append(list, Expression{Expr: e, Field: s.Name + ".else", Want: expr.Any, Scope: call})
	}
	return slices.DeleteFunc(list, unwritten)
}

// callExpressions returns the expressions in what a call sends. Messages use name for the call.
func (s *Step) callExpressions(name string, scope expr.Scope) []Expression {
	var list []Expression
	if path, err := s.Path.Parse(); err == nil {
		for _, v := range path.Values {
			list = append(list, Expression{Expr: v.Expr, Field: name + ".path", Want: expr.String, Scope: scope})
		}
	}
	for _, f := range slices.Concat(s.Query, s.Headers) {
		list = append(list, Expression{Expr: f.Expr, Field: name + "." + f.Name, Want: expr.String, Scope: scope})
	}
	for _, e := range s.Body.Expressions() {
		list = append(list, Expression{Expr: e, Field: name + ".body", Want: expr.Any, Scope: scope})
	}
	return list
}

// filterExpressions returns the expressions of the step's adapters.
func (s *Step) filterExpressions() []Expression {
	var list []Expression
	for _, f := range s.Filters {
		if holder, ok := f.Config.(Expressive); ok {
			list = append(list, holder.Expressions()...)
		}
	}
	return list
}

// unwritten reports whether e has no expression.
func unwritten(e Expression) bool { return e.Expr == nil || *e.Expr == Expr{} }

// Expressions returns all expressions of a return, with the types that they must have.
func (r *Return) Expressions() []Expression {
	const scope = expr.Request | expr.Steps
	list := []Expression{{Expr: r.StatusExpr, Field: "return.status", Want: expr.Int, Scope: scope}}
	for _, f := range r.Headers {
		list = append(list, Expression{Expr: f.Expr, Field: "return." + f.Name, Want: expr.String, Scope: scope})
	}
	for _, e := range r.Body.Expressions() {
		list = append(list, Expression{Expr: e, Field: "return", Want: expr.Any, Scope: scope})
	}
	return slices.DeleteFunc(list, unwritten)
}

// step checks one step and notes what it reads.
func (g *graph) step(i int) {
	s := &g.composition.Steps[i]
	readsItem := false
	for _, e := range s.Expressions() {
		reads, ok := g.expression(e)
		if !ok {
			readsItem = true // it may
			continue
		}
		g.reads[i] = append(g.reads[i], reads.Steps...)
		readsItem = readsItem || reads.Item
	}
	for _, name := range g.reads[i] {
		if name != s.Name {
			g.read[name] = true
		}
	}
	for i := range s.Filters {
		g.filter(&s.Filters[i], captured{open: true}) // it reads the step's request, whose path may have names of its own
	}
	g.shape(s, readsItem)
	if !s.Ref.unset() {
		g.reference(s.Ref)
	}
	g.target(s)
	g.undo(i)
}

// expression compiles e and checks that the steps that it reads exist.
func (g *graph) expression(e Expression) (expr.Reads, bool) { return g.expressionOf(e, nil) }

// expressionOf works like expression. If e belongs to the undo of the step undone, it reads the result of a single call
// of that step; nil: e belongs to no undo.
func (g *graph) expressionOf(e Expression, undone *Step) (expr.Reads, bool) {
	program, err := expr.Compile(e.Source, e.Want, e.Scope)
	if err != nil {
		g.rough = true
		g.ps.Add(withoutItem(e, e.wrong(err)))
		return expr.Reads{}, false
	}
	reads := program.Reads()
	for _, name := range reads.Steps {
		at := slices.IndexFunc(g.composition.Steps, func(s Step) bool { return s.Name == name })
		switch {
		case at < 0:
			g.rough = true
			g.add(e.findStep(name), fmt.Sprintf("there is no step %q", name), knownWords(g.names()), suggest(name, g.names(), ""))
		case undone != nil && undone.Name == name:
		case g.composition.Steps[at].Each != nil && (slices.Contains(reads.StepHeads, name) || slices.Contains(reads.StepTexts, name)):
			g.add(e.findStep(name), fmt.Sprintf("the step %q is called once for each element, so it has no one status, headers or text", name), "", fmt.Sprintf("read steps.%s.body, the list of the bodies", name))
		}
	}
	return reads, true
}

// findStep is where e reads a step.
func (e *Expr) findStep(name string) doc.Pos {
	for _, text := range []string{"steps." + name, "steps['" + name + "']", `steps["` + name + `"]`} {
		if strings.Contains(e.Source, text) {
			return e.find(text)
		}
	}
	return e.Pos
}

// withoutItem says where item is known, for an expression that reads it elsewhere.
func withoutItem(e Expression, p doc.Problem) doc.Problem {
	if e.Scope&expr.Item == 0 && strings.Contains(p.What, ": 'item' is not known") {
		p.Fix = "item is the element that a call is for: it exists only with each, in path, query, headers, body and else"
	}
	return p
}

// result checks return.
func (g *graph) result() {
	r := &g.composition.Return
	for _, e := range r.Expressions() {
		if reads, ok := g.expression(e); ok {
			for _, name := range reads.Steps {
				g.read[name] = true
			}
		}
	}
	if r.Status != 0 && (r.Status < 200 || r.Status > 599) {
		g.add(r.Pos, fmt.Sprintf("%d is not a final status", r.Status), "", "write 200 to 599")
	}
	if r.Body != nil && bodiless(r.Status) {
		g.add(r.Pos, fmt.Sprintf("a response with status %d has no body", r.Status), "", "leave one of them out")
	}
	for _, f := range r.Headers {
		g.field(f)
	}
}

// bodiless reports whether responses with status never have content (RFC 9110 section 6.4.1).
func bodiless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusResetContent || status == http.StatusNotModified
}

func (g *graph) field(f Field) {
	if p, bad := f.Check(); bad {
		g.ps.Add(p)
	}
}

// shape checks the rules of a step that depend only on the step.
func (g *graph) shape(s *Step, readsItem bool) {
	at := s.Origin.at()
	if !isStepName(s.Name) {
		g.rough = true
		g.add(at, fmt.Sprintf("%q is not the name of a step", s.Name), "expressions read it as steps.NAME", "write letters, digits, _ and -, beginning with a letter")
	}
	g.method(s)
	g.retry(s.Retry, s.Origin, false)
	if s.Timeout < 0 && s.Timeout != NoTimeout {
		g.add(at, fmt.Sprintf("the time-out of the step %q is negative", s.Name), "", "write a time such as 5s, or none")
	}
	g.bodyBytes(s.BodyBytes, s.Origin, fmt.Sprintf("the step %q", s.Name))
	g.repetition(s, readsItem)
	g.cache(s)
	for _, f := range s.Headers {
		g.field(f)
	}
	for _, r := range s.Statuses {
		if !g.rough && (!slices.Contains(statusActions(), r.Do) || r.From < 200 || r.To > 599 || r.From > r.To) {
			g.add(at, fmt.Sprintf("the step %q has a rule for the statuses %d to %d that means %q", s.Name, r.From, r.To, r.Do), "", "statuses are 200 to 599 and mean ok, fail or pass")
		}
	}
}

// method checks the method, and whether it may have a body and be retried.
func (g *graph) method(s *Step) {
	at, safe := s.Origin.at(), httpx.IsSafe(s.Method)
	switch near, alike := doc.Suggest(s.Method, methods()); {
	case !isMethod(s.Method):
		g.add(at, fmt.Sprintf("the step %q has the method %q", s.Name, s.Method), "methods are in capitals", suggest(s.Method, methods(), "write GET, POST, PUT, PATCH or DELETE"))
	case s.Method == http.MethodConnect || s.Method == http.MethodTrace:
		g.add(at, fmt.Sprintf("the step %q has the method %s", s.Name, s.Method), "it is about connections, not about resources", "write GET, POST, PUT, PATCH or DELETE")
	case alike && !slices.Contains(methods(), s.Method):
		g.add(at, fmt.Sprintf("the step %q has the method %q, which is not known", s.Name, s.Method), "", fmt.Sprintf("did you mean %q?", near))
	case safe && s.Body != nil:
		g.add(s.Body.Pos, fmt.Sprintf("the step %q sends a body with %s", s.Name, s.Method), "what such a body means is not defined, and servers drop or refuse it (RFC 9110 section 9.3.1)", "leave method out for POST, or write query")
	}
	if s.Retry != nil && s.Retry.Attempts > 0 && !safe {
		g.add(at, fmt.Sprintf("the step %q would try a %s again", s.Name, s.Method), "it may already have taken effect", "remove retry")
	}
}

// repetition checks a step that is called for each element of a list.
func (g *graph) repetition(s *Step, readsItem bool) {
	at := s.Origin.at()
	switch {
	case s.Each == nil && s.Parallel != 0:
		g.add(at, fmt.Sprintf("the step %q has parallel without each", s.Name), "it is called once", "remove it, or add each")
	case s.Each != nil && (s.Parallel < 1 || s.Parallel > maxParallel):
		g.add(at, fmt.Sprintf("the step %q makes %d calls at once", s.Name, s.Parallel), "", fmt.Sprintf("write 1 to %d", maxParallel))
	case s.Each != nil && !readsItem:
		g.ps.Add(doc.Problem{
			Pos: s.Each.Pos, Severity: doc.Warning, What: fmt.Sprintf("the step %q makes the same call for every element", s.Name),
			Why: "none of its expressions reads item", Fix: "read item in path, query, headers or body, or remove each",
		})
	}
}

// Safe reports whether the step only reads.
func (s *Step) Safe() bool { return httpx.IsSafe(s.Method) }

// isStepName reports whether name can follow `steps.` or stand in steps['...'], and in a Server-Timing field.
func isStepName(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if later := '0' <= c && c <= '9' || c == '_' || c == '-'; !letter && (i == 0 || !later) {
			return false
		}
	}
	return name != "" && len(name) <= 63
}

// target checks which backend a step calls.
func (g *graph) target(s *Step) {
	at := s.Ref.Origin.at()
	switch s.Ref.Scheme {
	case "grpc", "grpcs":
		g.add(at, fmt.Sprintf("the step %q calls a gRPC backend", s.Name), "a step sends and reads JSON", "call its HTTP form")
	case "":
		if sv := g.services[s.Ref.Rest]; sv != nil && (sv.Protocol == "grpc" || sv.Source.Scheme == "grpc" || sv.Source.Scheme == "grpcs") {
			g.add(at, fmt.Sprintf("the step %q calls the gRPC service %q", s.Name, sv.Name), "a step sends and reads JSON", "call its HTTP form")
		}
		if s.Ref.Rest == "" && !g.rough {
			g.add(s.Origin.at(), fmt.Sprintf("the step %q calls no backend", s.Name), "", "add `to:` with a backend")
		}
	}
}

// plan builds the graph and checks it.
func (g *graph) plan() {
	steps := g.composition.Steps
	plan := PlanOf(g.names(), g.reads)
	if plan.Cycle != nil {
		first := &steps[plan.Cycle[0]]
		if len(plan.Cycle) == 1 {
			g.add(first.Origin.at(), fmt.Sprintf("the step %q reads its own result", first.Name), "so it would wait for itself", "read another step's")
			return
		}
		var way []string
		for i, at := range plan.Cycle {
			way = append(way, fmt.Sprintf("%s reads %s", steps[at].Name, steps[plan.Cycle[(i+1)%len(plan.Cycle)]].Name))
		}
		g.add(first.Origin.at(), "steps wait for each other: "+strings.Join(way, ", "), "so none of them could ever start", "take one of these out")
		return
	}
	if g.rough {
		return
	}
	g.undoesAfter(plan)
	for i := range steps {
		if s := &steps[i]; !g.read[s.Name] && httpx.IsSafe(s.Method) {
			g.ps.Add(doc.Problem{
				Pos: s.Origin.at(), Severity: doc.Warning, What: fmt.Sprintf("nothing reads the step %q", s.Name),
				Why: fmt.Sprintf("a %s is there for its result", s.Method), Fix: fmt.Sprintf("read steps.%s, or remove it", s.Name),
			})
		}
	}
}

// compositionGrants checks what the steps of a group's composition may contain. The backends that they call are checked
// with their references.
func (c *validator) compositionGrants(m *Composition) {
	g := c.groups[m.Group]
	if g == nil {
		return
	}
	for _, s := range m.Calls() {
		for _, f := range slices.Concat(s.Query, s.Headers) {
			c.secretGrants(g, f.Secret, Origin{Pos: f.Pos, Object: s.Origin.Object})
		}
		for _, f := range s.Filters {
			c.filterGrants(g, f, c.authority(s.Ref))
		}
	}
	for _, f := range m.Return.Headers {
		c.secretGrants(g, f.Secret, Origin{Pos: f.Pos, Object: m.Origin.Object})
	}
}
