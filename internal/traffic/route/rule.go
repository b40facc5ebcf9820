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
	conditional bool // there are conditions beside the method
}

// Reading is what the patterns and conditions of a rule were read to. It is immutable.
type Reading struct {
	host     *pattern.Host // nil: any
	segments []pattern.Segment
	pattern  string // the path as it was written
	literals int    // how many segments there are before the first one that is captured
	literal  int    // how much of a path they are, its first slash left out, each with the slash behind it

	method   string // "" any
	headers  []field
	query    []field
	cookies  []field
	whenText string // "" where there is no when, or one without a text

	key string // equal keys: no request tells the conditions apart
}

// String writes the rule as the key of a route in a file.
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

// methodRank places a rule by its method.
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

// Read reads the patterns and conditions of a rule.
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

// compile makes a rule of what its patterns and conditions were read to.
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
	if r.when != nil && r.whenText == "" { // nobody knows what it is, so it equals no other
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

// literals takes a literal path apart, in the form that requests' paths have.
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

// conditionKey writes the conditions in one spelling, whatever their order was.
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

// cause is why a candidate lost, if it did.
type cause uint8

const (
	holds cause = iota
	wrongMethod
	wrongField
	wrongExpression
)

// verdict is the outcome of checking a rule. It is cheap to make; explain turns
// it into words.
type verdict struct {
	cause cause
	field *field // for wrongField
}

func (v verdict) lost() bool { return v.cause != holds }

// check holds q, whose host and path fit, against the rest of the rule, and
// adds what was captured to p; where the rule lost, p may hold some of it.
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

// conditions is check without the method.
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

// capture adds the parameters of a rule whose host and path fit q.
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
