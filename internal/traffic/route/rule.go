package route

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/pattern"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// rule is a compiled Rule.
type rule struct {
	Reading

	index  int // of its value in the table
	name   string
	origin config.Origin
	rank   string

	headByGet   bool
	when        func(*http.Request) bool
	conditional bool // there are conditions other than the method
}

// Reading is the parsed form of the patterns and conditions of a rule. It is immutable.
type Reading struct {
	host     *pattern.Host // nil: any
	segments []pattern.Segment
	pattern  string // the path as written
	literals int    // number of segments before the first captured one
	literal  int    // their length in a path, without its first slash, each with its trailing slash

	method   string // "" any
	headers  []field
	query    []field
	cookies  []field
	whenText string // "" if there is no when, or one without a text

	key string // if two keys are equal, no request tells the conditions apart
}

// String returns the rule in the form of a route's key in a file.
func (r *rule) String() string {
	if r.host == nil {
		return r.methodName() + " " + r.pattern
	}
	return r.methodName() + " " + r.host.String() + r.pattern
}

func (r *rule) methodName() string {
	if r.method == "" {
		return "ANY"
	}
	return r.method
}

// methodRank returns the rank of a rule's method; lower comes first.
func (r *rule) methodRank() int {
	switch r.method {
	case http.MethodHead:
		return 0
	case "":
		return 2
	default:
		return 1
	}
}

// Read parses the patterns and conditions of a rule.
func Read(host string, m *config.Match) (*Reading, error) {
	r := &Reading{method: m.Method}
	if m.When != nil {
		r.whenText = m.When.Source
	}
	if host != "" {
		parsed, err := pattern.ParseHost(host)
		if err != nil {
			return nil, err
		}
		r.host = &parsed
	}
	if err := r.readPath(m.Path); err != nil {
		return nil, err
	}
	if err := r.readFields(m); err != nil {
		return nil, err
	}
	for r.literals < len(r.segments) && r.segments[r.literals].Kind == pattern.Literal {
		r.literal += len(r.segments[r.literals].Prefix) + len("/")
		r.literals++
	}
	r.key = r.conditionKey()
	return r, nil
}

// compile makes a rule from its Reading, and calls Read if there is none.
func compile[T any](from *Rule[T], index int) (*rule, error) {
	read := from.Reading
	if read == nil {
		var err error
		if read, err = Read(from.Host, &from.Match); err != nil {
			return nil, err
		}
	}
	r := &rule{
		Reading: *read, index: index, name: from.Name, origin: from.Origin, rank: from.Rank, headByGet: from.HeadByGet, when: from.When,
	}
	r.conditional = len(r.headers)+len(r.query)+len(r.cookies) > 0 || r.when != nil
	if r.when != nil && r.whenText == "" { // its text is unknown, so it equals no other
		r.key += fmt.Sprintf(" #%d", index)
	}
	return r, nil
}

func (r *Reading) readPath(m config.PathMatch) error {
	switch {
	case m.Pattern != "":
		p, err := pattern.ParsePath(m.Pattern)
		r.pattern, r.segments = m.Pattern, p.Segments
		return err
	case m.Exact != "":
		segments, err := literals(m.Exact)
		r.pattern, r.segments = m.Exact, segments
		return err
	}
	prefix := strings.TrimSuffix(m.Prefix, "/")
	segments, err := literals(prefix)
	if prefix == "" {
		segments = nil
	}
	r.pattern, r.segments = prefix+"/**", slices.Concat(segments, []pattern.Segment{{Kind: pattern.Rest}})
	return err
}

// literals splits a literal path into segments, in the normalised form that the paths of requests have.
func literals(path string) ([]pattern.Segment, error) {
	normal, err := httpx.NormalizePath(path)
	if err != nil {
		return nil, fmt.Errorf("the path %q can never match: %w", path, err)
	}
	var segments []pattern.Segment
	for text := range strings.SplitSeq(normal.Text[1:], "/") {
		segments = append(segments, pattern.Segment{Kind: pattern.Literal, Prefix: text})
	}
	return segments, nil
}

func (r *Reading) readFields(m *config.Match) (err error) {
	for _, part := range []struct {
		to   *[]field
		from []config.FieldMatch
		kind fieldKind
	}{{&r.headers, m.Headers, header}, {&r.query, m.Query, query}, {&r.cookies, m.Cookies, cookie}} {
		if *part.to, err = compileFields(part.from, part.kind); err != nil {
			return err
		}
	}
	return nil
}

// conditionKey returns the conditions in one spelling, independent of their order.
func (r *Reading) conditionKey() string {
	var keys []string
	for _, f := range slices.Concat(r.headers, r.query, r.cookies) {
		keys = append(keys, f.key())
	}
	slices.Sort(keys)
	return fmt.Sprintf("%q %q %q", r.method, keys, r.whenText)
}

func problemOf[T any](r *Rule[T], err error) doc.Problem {
	p := doc.Problem{Pos: r.Origin.Pos, What: err.Error(), Why: fmt.Sprintf("route %q, from %s", r.Name, r.Origin)}
	if mistake, ok := errors.AsType[*pattern.Error](err); ok {
		p.What, p.Fix = mistake.Text, mistake.Fix
	}
	return p
}

// cause says why a candidate lost, if it did.
type cause uint8

const (
	holds cause = iota
	wrongMethod
	wrongField
	wrongExpression
)

// verdict is the outcome of checking a rule. It is cheap to make; reason turns
// it into words.
type verdict struct {
	cause cause
	field *field // for wrongField
}

func (v verdict) lost() bool { return v.cause != holds }

// check checks the rest of the rule against q, whose host and path fit, and adds
// what was captured to p. If the rule lost, p may hold part of it.
func (r *rule) check(q *Query, p *exchange.Params) verdict {
	if !r.accepts(q.Method) {
		return verdict{cause: wrongMethod}
	}
	return r.conditions(q, p)
}

func (r *rule) accepts(method string) bool {
	return r.method == "" || r.method == method ||
		r.headByGet && method == http.MethodHead && r.method == http.MethodGet
}

// conditions is like check but ignores the method.
func (r *rule) conditions(q *Query, p *exchange.Params) verdict {
	for _, fields := range [...][]field{r.headers, r.query, r.cookies} {
		for i := range fields {
			if !fields[i].holds(q.Request) {
				return verdict{cause: wrongField, field: &fields[i]}
			}
		}
	}
	r.capture(q, p)
	if r.when != nil && !r.when(q.Request) {
		return verdict{cause: wrongExpression}
	}
	return verdict{}
}

// capture adds the parameters of a rule whose host and path fit q to p.
func (r *rule) capture(q *Query, p *exchange.Params) {
	if r.host != nil && r.host.Kind == pattern.HostLabel {
		label, _, _ := strings.Cut(q.Host, ".")
		p.Add(r.host.Param, label)
	}
	rest := q.Path[1:]
	rest = rest[min(r.literal, len(rest)):]
	for i := r.literals; i < len(r.segments); i++ {
		s := &r.segments[i]
		if s.Kind == pattern.Rest {
			p.Add(restName(s), rest)
			return
		}
		var text string
		text, rest, _ = strings.Cut(rest, "/")
		if s.Kind != pattern.Literal {
			p.Add(s.Name, httpx.Unescape(text[len(s.Prefix):len(text)-len(s.Suffix)]))
		}
	}
}

func restName(s *pattern.Segment) string {
	if s.Name == "" {
		return RestParam
	}
	return s.Name
}
