package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/template"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// compositionForm is a named composition.
type compositionForm struct {
	Steps   *doc.Node `doc:"steps,required" help:"the calls, by step name" example:"{profile: 'http://users:8080/me'}"`
	Return  *doc.Node `doc:"return" help:"the response: JSON with expressions, or a map of status, headers and body; by default the body of every step under its name"`
	Timing  bool      `doc:"timing" help:"whether the Server-Timing header tells clients how long each step took"`
	MaxBody doc.Size  `doc:"max_body" help:"the largest total size of the bodies of all steps" example:"8MiB"`
}

// stepForm is a step in its written form.
type stepForm struct {
	To       *doc.Node    `doc:"to,required" help:"the backend; a URL includes the path to send" example:"http://users:8080/users/{user}"`
	Path     *doc.Node    `doc:"path" help:"the path to send, with captures {name} and values {=expression}; / by default" example:"/users/{=steps.order.body.user}"`
	Method   string       `doc:"method" help:"the method; by default GET, or POST if there is a body" example:"PUT"`
	Query    Fields       `doc:"query" help:"query parameters" example:"{page: =query.page}"`
	Headers  Fields       `doc:"headers" help:"header fields; the client's reach the step only if they are named here" example:"{Authorization: =request.headers.authorization}"`
	Body     *Tree        `doc:"body" help:"the body to send: JSON with expressions" example:"{customer: =steps.profile.body.id}"`
	When     *Expr        `doc:"when" help:"the step is skipped if this expression is false" example:"=steps.profile.body.vip"`
	Each     *Expr        `doc:"each" help:"makes one call for each element of a list; expressions refer to the element as item" example:"=steps.orders.body"`
	Parallel *int         `doc:"parallel" help:"with each: the number of concurrent calls" example:"4"`
	Timeout  *bound       `doc:"timeout" help:"the time for one call; by default the service's total, else 30s" example:"300ms"`
	Retry    *retryForm   `doc:"retry" help:"retries of a GET, HEAD or OPTIONS" example:"1"`
	Status   statusesForm `doc:"status" help:"what statuses mean: ok, fail or pass; by default 2xx is ok and all others fail" example:"{404: pass}"`
	Else     *Tree        `doc:"else" help:"the body if the step fails or is skipped" example:"[]"`
	Required *bool        `doc:"required" help:"whether the composition fails if the step fails; false is short for else: =null"`
	MaxBody  doc.Size     `doc:"max_body" help:"the largest response body; 1MiB by default" example:"64KiB"`
	Cache    *cacheForm   `doc:"cache" help:"keeps results of a GET, HEAD or OPTIONS in memory" example:"30s"`
	Undo     *undoForm    `doc:"undo" help:"the call that undoes the step if the composition fails after it" example:"http://orders:8080/orders/{=steps.order.body.id}"`
	// Transform is an adapter as on a route. Its config is not part of this package.
	Transform *doc.Node `doc:"transform" help:"changes to the call's request and response, as on a route" example:"{response: {read: xml}}"`
}

// plainStep is stepForm without its short form.
type plainStep stepForm

func (s *stepForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	switch n.Kind {
	case doc.Scalar:
		n = n.Under("to")
	case doc.List:
		ps.Add(doc.Problem{Pos: n.Pos, What: "the step is a list", Why: "a step is one call, or, with each, one call for every element of a list", Fix: "write the backend, as http://users:8080, or a map with `to:`"})
		return
	}
	doc.Decode(n, (*plainStep)(s), ps)
}

// statusesForm maps statuses, `404` or `4xx`, to their meanings.
type statusesForm []StatusRule

func (f *statusesForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind != doc.Map {
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("status is %s", n.Kind), Why: "it says what statuses mean", Fix: "for example `status: { 404: pass }`"})
		return
	}
	for _, e := range n.Entries {
		rule, ok := readStatuses(e.Key)
		if !ok {
			ps.Add(doc.Problem{Pos: e.KeyPos, What: fmt.Sprintf("%q are not statuses", e.Key), Why: "they are 200 to 599", Fix: "write one, as 404, or a class, as 4xx"})
			continue
		}
		doc.Decode(e.Value, (*string)(&rule.Do), ps)
		if e.Value.Kind == doc.Scalar && !slices.Contains(statusActions(), rule.Do) {
			ps.Add(doc.Problem{
				Pos: e.Value.Pos, What: fmt.Sprintf("%q is not something that a status can mean", e.Value.Value), Why: "there are ok, fail and pass",
				Fix: suggest(e.Value.Value, words(statusActions()), "ok: a result; fail: the step has failed; pass: the client gets this response"),
			})
		}
		*f = append(*f, rule)
	}
	slices.SortStableFunc(*f, func(a, b StatusRule) int {
		return cmp.Or(cmp.Compare(a.To-a.From, b.To-b.From), cmp.Compare(a.From, b.From))
	})
}

func statusActions() []StatusAction { return []StatusAction{StatusOK, StatusFail, StatusPass} }

func readStatuses(key string) (StatusRule, bool) {
	if class, ok := strings.CutSuffix(key, "xx"); ok && len(class) == 1 && class[0] >= '2' && class[0] <= '5' {
		from := int(class[0]-'0') * 100
		return StatusRule{From: from, To: from + 99}, true
	}
	status, err := strconv.Atoi(key)
	return StatusRule{From: status, To: status}, err == nil && len(key) == 3 && status >= 200 && status <= 599
}

func (r StatusRule) key() string {
	if r.To > r.From {
		return strconv.Itoa(r.From/100) + "xx"
	}
	return strconv.Itoa(r.From)
}

// DocSchema implements doc.SchemaWriter.
func (statusesForm) DocSchema() *doc.Schema {
	return mapOf(&doc.Schema{Enum: words(statusActions())})
}

// EncodeDoc writes the rules in the form that is read.
func (f statusesForm) EncodeDoc() *doc.Node {
	if len(f) == 0 {
		return nil
	}
	n := &doc.Node{Kind: doc.Map}
	for _, r := range f {
		n.Entries = append(n.Entries, doc.Entry{Key: r.key(), Value: &doc.Node{Kind: doc.Scalar, Value: string(r.Do)}})
	}
	return n
}

// returnForm is the long form of return.
type returnForm struct {
	Status  *Tree  `doc:"status" help:"the status; 200 by default" example:"201"`
	Headers Fields `doc:"headers" help:"header fields of the response" example:"{Cache-Control: max-age=10}"`
	Body    *Tree  `doc:"body" help:"the response body: JSON with expressions"`
}

func returnKeys() []string { return []string{"status", "headers", "body"} }

// isLongReturn reports whether n is the long form rather than JSON.
func isLongReturn(n *doc.Node) bool {
	return n.Kind == doc.Map && len(n.Entries) > 0 && !slices.ContainsFunc(n.Entries, func(e doc.Entry) bool { return !slices.Contains(returnKeys(), e.Key) })
}

// composition lowers one element of `compositions`.
func (l *loader) composition(e element, group string, ps *doc.Problems) {
	var own doc.Problems
	var form compositionForm
	node := e.node
	if node.Kind == doc.Map && node.Get("steps") == nil && node.Get("compose") != nil {
		own.Add(doc.Problem{Pos: node.Get("compose").Pos, What: fmt.Sprintf("the composition %q has compose", e.name), Why: "that is the word for a route; here the calls are its steps", Fix: "write steps"})
	} else {
		doc.Decode(node, &form, &own)
	}
	c := Composition{Name: e.name, Group: group, Origin: Origin{Pos: e.pos}, Timing: form.Timing, BodyBytes: int64(form.MaxBody)}
	unread := l.compose(&c, cmp.Or(form.Steps, node.Get("steps")), form.Return, &own)
	ps.Join(&own)
	l.composed(c, unread || own.Failed())
}

// composed adds a composition to the config. A rough one, in which something could not be read, is kept only for the
// checks that still make sense.
func (l *loader) composed(c Composition, rough bool) {
	if rough {
		l.roughCompositions = append(l.roughCompositions, c)
		return
	}
	l.cfg.Compositions = append(l.cfg.Compositions, c)
}

// inlineName is the name of the composition that is written on a route. It contains a space. A name that can be written
// without `compose:` never does.
func inlineName(route string) string {
	if strings.Contains(route, " ") {
		return route
	}
	return "route " + route
}

// inline lowers the composition written on route r and makes it the route's backend.
func (l *loader) inline(r *Route, form *routeForm, fields []inherited, ps *doc.Problems) {
	if form.Compose == nil {
		if form.Return != nil || form.Timing {
			ps.Add(doc.Problem{Pos: r.Origin.Pos, What: fmt.Sprintf("the route %q has return or timing without compose", r.Name), Why: "they are about the steps of a composition", Fix: "add compose, or write respond for an answer without a backend"})
		}
		return
	}
	if form.To != nil {
		ps.Add(doc.Problem{Pos: form.To.Pos, What: fmt.Sprintf("the route %q has both to and compose", r.Name), Why: "each says what answers", Fix: "keep one of them, or give the composition a name under compositions and name it as a variant"})
	}
	if i := slices.IndexFunc(fields, func(f inherited) bool { return f.via == "" && setsPath(f) }); i >= 0 {
		ps.Add(doc.Problem{Pos: fields[i].KeyPos, What: fmt.Sprintf("%s does nothing beside compose", fields[i].Key), Why: "each step says what path it sends", Fix: "remove it"})
	}
	c := Composition{Name: inlineName(r.Name), Group: r.Group, Origin: r.Origin, Timing: form.Timing}
	var own doc.Problems
	unread := l.compose(&c, form.Compose, form.Return, &own)
	ps.Join(&own)
	l.composed(c, unread || own.Failed())
	ref := Ref{Scheme: composeScheme, Rest: c.Name, Group: r.Group, Origin: c.Origin}
	r.Backends = []Backend{{Weight: wholeShare, Ref: ref, Origin: c.Origin}}
}

// wholeShare is the weight of the only backend of a route.
const wholeShare = 100

// compose lowers steps and return. unread says that part of them is not valid YAML, which the parser has reported.
func (l *loader) compose(c *Composition, steps, result *doc.Node, ps *doc.Problems) (unread bool) {
	if c.BodyBytes == 0 {
		c.BodyBytes = DefaultCompositionBody
	}
	if steps != nil {
		unread = l.steps(c, steps, ps)
	}
	if result == nil {
		c.Return = allBodies(c.Steps, c.Origin.Pos)
		return unread
	}
	c.Return = readReturn(result, ps)
	return unread || result.Kind == 0
}

// steps lowers the steps that could be read.
func (l *loader) steps(c *Composition, n *doc.Node, ps *doc.Problems) (unread bool) {
	if n.Kind == 0 {
		return true
	}
	if n.Kind == doc.Scalar || len(n.Entries)+len(n.Items) == 0 {
		p := doc.Problem{Pos: n.Pos, What: "there are no steps", Why: "a composition is made of calls to other backends, by their names", Fix: "for example `profile: http://users:8080/users/{user}`"}
		if n.Kind == doc.Scalar {
			p.Fix += fmt.Sprintf("; a composition with a name is a backend: `to: %s`", n.Value)
		}
		ps.Add(p)
		return false
	}
	for _, item := range n.Items {
		unread = unread || item.Kind == 0
		if _, ok := longElement(item); !ok && item.Kind != 0 {
			ps.Add(doc.Problem{Pos: item.Pos, What: "an item of the list of steps has no name", Why: "a list is the long form, in which each item begins with its name", Fix: "begin it with `name: profile`"})
		}
	}
	for _, e := range elements(n) {
		if e.node.Kind == 0 { // only its name could be read
			unread = true
			c.Steps = append(c.Steps, Step{Name: e.name, Origin: Origin{Pos: e.pos}, Method: methodFor(nil)})
			continue
		}
		c.Steps = append(c.Steps, l.step(e, c.Group, ps))
	}
	return unread
}

// step lowers one step.
func (l *loader) step(e element, group string, ps *doc.Problems) Step {
	var form stepForm
	form.DecodeDoc(e.node, ps)
	s := Step{
		Name: e.name, Origin: Origin{Pos: e.pos}, Method: form.Method, Query: form.Query, Headers: form.Headers, Body: form.Body,
		When: form.When, Each: form.Each, Retry: form.Retry.retry(), Statuses: form.Status, Else: form.Else,
		BodyBytes: cmp.Or(int64(form.MaxBody), DefaultStepBody), Cache: form.Cache.cache(),
	}
	if form.Timeout != nil {
		s.Timeout = time.Duration(*form.Timeout)
	}
	if s.Method == "" {
		s.Method = methodFor(form.Body)
	}
	l.stepTarget(&s, &form, group, ps)
	switch {
	case form.Parallel != nil:
		s.Parallel = *form.Parallel
	case form.Each != nil:
		s.Parallel = DefaultParallel
	}
	switch {
	case form.Required == nil:
	case *form.Required && form.Else != nil:
		ps.Add(doc.Problem{Pos: form.Else.Pos, What: fmt.Sprintf("the step %q is required and has else", e.name), Why: "with else, its failure does not fail the whole answer", Fix: "keep one of them"})
	case !*form.Required && form.Else == nil:
		s.Else = nullTree(e.pos)
	}
	if form.Transform != nil {
		key := doc.Entry{Key: "transform", KeyPos: form.Transform.Pos, Value: form.Transform}
		s.Filters, _ = l.filter(inherited{Entry: key}, captures{}, ps)
	}
	if form.Undo != nil {
		s.Undo = l.undo(form.Undo, &s, group, ps)
	}
	return s
}

func methodFor(body *Tree) string {
	if body != nil {
		return "POST"
	}
	return "GET"
}

// stepTarget reads which backend a step calls, and with what path.
func (l *loader) stepTarget(s *Step, form *stepForm, group string, ps *doc.Problems) {
	s.Path = PathTemplate{Text: "/", Pos: s.Origin.Pos}
	if form.Path != nil && wantText(form.Path, "the path", "/users/{user}", ps) {
		s.Path = PathTemplate{Text: form.Path.Value, Pos: textPos(form.Path, 0)}
	}
	if form.To == nil { // as in an undo, which uses its step's backend
		s.checkPath(ps)
		return
	}
	t, ok := readTarget(form.To, group, l.v, ps)
	switch {
	case !ok:
		return
	case t.answer.Key != "":
		ps.Add(doc.Problem{Pos: form.To.Pos, What: fmt.Sprintf("the step %q calls %s:, which is an answer, not a backend", s.Name, t.answer.Key), Fix: "write the content of the answer into return"})
		return
	case t.path != nil && form.Path != nil:
		ps.Add(doc.Problem{Pos: form.Path.Pos, What: fmt.Sprintf("the step %q gives its path twice, in the URL and in path", s.Name), Fix: "keep one of them"})
		return
	case t.path != nil:
		s.Path = PathTemplate{Text: t.path.Value, Pos: t.path.Pos}
	}
	s.Ref = t.ref
	s.checkPath(ps)
}

func (s *Step) checkPath(ps *doc.Problems) {
	if _, err := s.Path.Parse(); err != nil {
		ps.Add(pathProblem(s.Path, err))
	}
}

// pathProblem reports a mistake in a step's path at its place.
func pathProblem(p PathTemplate, err error) doc.Problem {
	problem := doc.Problem{Pos: p.Pos, What: err.Error()}
	if wrong, ok := errors.AsType[*template.Error](err); ok {
		problem.What, problem.Fix = wrong.Text, wrong.Fix
		problem.Pos = textPos(&doc.Node{Pos: p.Pos, Value: p.Text}, wrong.Offset)
		if wrong.Offset < len(p.Text) && p.Text[wrong.Offset] == '?' {
			problem.Fix = "write the parameters under query"
		}
	}
	return problem
}

// readReturn reads the response of a composition.
func readReturn(n *doc.Node, ps *doc.Problems) Return {
	r := Return{Pos: n.Pos}
	if !isLongReturn(n) {
		r.Body = new(treeOf(n, ps))
		return r
	}
	var form returnForm
	doc.Decode(n, &form, ps)
	r.Headers, r.Body = form.Headers, form.Body
	switch {
	case form.Status == nil:
	case form.Status.Kind == TreeExpr:
		r.StatusExpr = form.Status.Expr
		if form.Body == nil {
			ps.Add(doc.Problem{
				Pos: form.Status.Pos, What: "return can be read in two ways: as a response without a body, or as JSON with a member status",
				Why: "a map of nothing but status, headers and body is a response", Fix: "write the body too, and JSON under it: `body: { status: ... }`",
			})
		}
	default:
		status, err := strconv.Atoi(form.Status.Literal)
		if err != nil || status < 200 || status > 599 {
			ps.Add(doc.Problem{Pos: form.Status.Pos, What: "the status of return is not a final status", Why: "a map of nothing but status, headers and body is a response", Fix: "write 200 to 599 or an expression; put JSON with such members under body"})
		}
		if err == nil && status >= 200 && status <= 599 {
			r.Status = status
		}
	}
	return r
}

// allBodies is the response if no return is written: the body of each step under its name.
func allBodies(steps []Step, pos doc.Pos) Return {
	body := Tree{Kind: TreeObject, Pos: pos}
	for _, s := range steps {
		source := "steps." + s.Name + ".body"
		if strings.Contains(s.Name, "-") {
			source = "steps['" + s.Name + "'].body"
		}
		body.Members = append(body.Members, TreeMember{s.Name, Tree{Kind: TreeExpr, Expr: &Expr{Source: source, Pos: pos}, Pos: pos}})
	}
	return Return{Body: &body, Pos: pos}
}
