package route

import (
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
)

// Outcome is the result of a candidate.
type Outcome string

// The outcomes.
const (
	Won  Outcome = "won"  // answers the request
	Lost Outcome = "lost" // host and path fit, something else does not
	Late Outcome = "late" // would fit too, but another candidate comes first
	Near Outcome = "near" // host or path almost fit
)

// Candidate is a rule that could have answered.
type Candidate struct {
	Name    string        `json:"name"`
	Origin  config.Origin `json:"origin"`
	Host    string        `json:"host,omitempty"` // the pattern; "" any
	Pattern string        `json:"pattern"`        // method and path, as "GET /orders/{id}"
	Verdict Outcome       `json:"verdict"`
	Reason  string        `json:"reason,omitempty"` // why it did not win: `method is GET, route has POST`; "" if it won
}

// Trace records how a request finds its rule.
type Trace struct {
	Method string `json:"-"`
	Host   string `json:"-"`
	Path   string `json:"-"`
	// Candidates are the rules whose host and path fit, in order of precedence.
	Candidates []Candidate `json:"candidates,omitempty"`
	// Near are the rules that came closest if no candidate won, the closest first.
	Near []Candidate `json:"near,omitempty"`
	// Visits is the number of steps that the lookup took.
	Visits int `json:"visits"`
	// Compared is the number of rules that were compared to find near misses.
	Compared int `json:"-"`
}

// Nearest returns what came closest to q, for the answer to a request for which Match
// found nothing: the first candidate, or near misses among the rules whose paths are
// spelled like q's. Its work does not grow with the table.
func (t *Table[T]) Nearest(q *Query) Trace {
	p, giveBack := borrowParams(q)
	defer giveBack()
	trace := Trace{Method: q.Method, Host: q.Host, Path: q.Path}
	s := search{try: func(r *rule) bool {
		c := r.candidate(Lost, r.reason(r.check(q, p), q))
		p.Truncate(0)
		trace.Candidates = append(trace.Candidates, c)
		return true
	}}
	if !s.run(&t.index, q) {
		rules := t.index.rules
		if len(rules) > manyRules {
			rules = around(t.byPath(), q.Path)
		}
		trace.Near, trace.Compared = near(rules, q), len(rules)
	}
	trace.Visits = s.visits
	return trace
}

// Explain shows what Match does with q. It takes the same walk, and continues where
// Match would stop. It is not meant for serving requests, because it compares every
// rule to find near misses.
func (t *Table[T]) Explain(q *Query) Trace {
	p, giveBack := borrowParams(q)
	defer giveBack()
	trace := Trace{Method: q.Method, Host: q.Host, Path: q.Path}
	var won *rule
	s := search{try: func(r *rule) bool {
		v := r.check(q, p)
		p.Truncate(0)
		c := r.candidate(Lost, "")
		switch {
		case v.lost():
			c.Reason = r.reason(v, q)
		case won == nil:
			won, c.Verdict = r, Won
		default:
			c.Verdict, c.Reason = Late, fmt.Sprintf("%s comes first", won)
		}
		trace.Candidates = append(trace.Candidates, c)
		return false
	}}
	s.run(&t.index, q)
	trace.Visits = s.visits
	if won == nil {
		trace.Near, trace.Compared = near(t.index.rules, q), len(t.index.rules)
	}
	return trace
}

func (r *rule) candidate(verdict Outcome, reason string) Candidate {
	c := Candidate{Name: r.name, Origin: r.origin, Verdict: verdict, Reason: reason}
	if r.host != nil {
		c.Host = r.host.String()
	}
	c.Pattern = r.methodName() + " " + r.pattern
	return c
}

// reason describes why the rule lost.
func (r *rule) reason(v verdict, q *Query) string {
	switch v.cause {
	case wrongMethod:
		return fmt.Sprintf("method is %s, route has %s", q.Method, r.methodName())
	case wrongField:
		return v.field.reason(q.Request)
	case wrongExpression:
		if r.whenText != "" {
			return fmt.Sprintf("%s is not true", r.whenText)
		}
		return "its condition is not true"
	case holds:
	}
	return ""
}

// reason says what value the field has and what value it should have. The value of a
// missing field is "".
func (f *field) reason(r *http.Request) string {
	name := f.name
	if f.kind == header {
		name = strings.ToLower(name)
	}
	if f.secret() {
		return fmt.Sprintf("%s %s has another value", f.kind, name)
	}
	got := ""
	if r != nil {
		got, _ = f.find(r)
	}
	if f.regex != nil {
		return fmt.Sprintf("%s %s is %q, which does not match %s", f.kind, name, got, f.value)
	}
	return fmt.Sprintf("%s %s is %q not %q", f.kind, name, got, f.value)
}

// secret reports whether the field's values must not appear in logs.
func (f *field) secret() bool {
	return f.kind == cookie || f.kind == header && (f.name == "Authorization" || f.name == "Proxy-Authorization" || f.name == "Cookie")
}

// Winner returns the candidate that won, if one did.
func (t Trace) Winner() (Candidate, bool) {
	for _, c := range t.Candidates {
		if c.Verdict == Won {
			return c, true
		}
	}
	return Candidate{}, false
}

// Closest says in a sentence which rule came closest if none won: "The
// closest is GET /orders/{id}: path differs at segment 1: "order" vs "orders"."
// It returns "" if a rule won or none is near.
func (t Trace) Closest() string {
	if _, ok := t.Winner(); ok {
		return ""
	}
	for _, list := range [][]Candidate{t.Candidates, t.Near} {
		if len(list) > 0 {
			return "The closest is " + list[0].place() + ": " + list[0].Reason + "."
		}
	}
	return ""
}

// place returns the rule as a config file has it: "GET shop.dev/orders".
func (c Candidate) place() string {
	method, path, _ := strings.Cut(c.Pattern, " ")
	return method + " " + c.Host + path
}

// String formats the trace for people, with one line for each candidate.
func (t Trace) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s%s\n", t.Method, t.Host, t.Path)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0) // writing to a strings.Builder never fails
	for _, list := range [][]Candidate{t.Candidates, t.Near} {
		for _, c := range list {
			_, _ = fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", c.Verdict, c.place(), c.Origin, c.Reason)
		}
	}
	_ = w.Flush()
	if len(t.Candidates)+len(t.Near) == 0 {
		b.WriteString("  no route comes near\n")
	}
	return b.String()
}

// borrowParams returns empty parameters: those of the exchange, if there is one,
// so that expressions see what the rule being checked has captured.
func borrowParams(q *Query) (p *exchange.Params, giveBack func()) {
	if q.Request != nil {
		if x := exchange.From(q.Request.Context()); x != nil {
			saved := x.Params
			x.Params = exchange.Params{}
			return &x.Params, func() { x.Params = saved }
		}
	}
	return new(exchange.Params), func() {}
}
