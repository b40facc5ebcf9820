package route

import (
	"cmp"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/pattern"
)

// node is a position in the tree of path patterns of one host. It stands for the
// segments from the root to here, which its patterns have in common.
type node struct {
	few   []literalEdge    // up to fewLiterals of them, unordered
	many  map[string]*node // replaces few when there are more
	mixed []mixedEdge      // the more specific first
	param *node
	ends  []*rule // rules whose pattern ends here, in order of precedence
	rests []*rule // rules whose rest begins here, in order of precedence
}

type literalEdge struct {
	text string
	to   *node
}

type mixedEdge struct {
	prefix, suffix string
	to             *node
}

// fewLiterals is the number of edges above which a map is faster and smaller
// than comparing one after the other.
const fewLiterals = 8

func (n *node) literal(text string) *node {
	if n.many != nil {
		return n.many[text]
	}
	for i := range n.few {
		if n.few[i].text == text {
			return n.few[i].to
		}
	}
	return nil
}

// add puts r under the remaining segments of its pattern.
func (n *node) add(r *rule, segments []pattern.Segment) {
	switch {
	case len(segments) == 0:
		n.ends = append(n.ends, r)
	case segments[0].Kind == pattern.Rest:
		n.rests = append(n.rests, r)
	default:
		n.child(segments[0]).add(r, segments[1:])
	}
}

// child returns the node behind s and creates it if there is none.
func (n *node) child(s pattern.Segment) *node {
	switch s.Kind {
	case pattern.Literal:
		return n.literalChild(s.Prefix)
	case pattern.Mixed:
		return n.mixedChild(s.Prefix, s.Suffix)
	default:
		if n.param == nil {
			n.param = &node{}
		}
		return n.param
	}
}

func (n *node) literalChild(text string) *node {
	if c := n.literal(text); c != nil {
		return c
	}
	c := &node{}
	if n.many == nil && len(n.few) < fewLiterals {
		n.few = append(n.few, literalEdge{text, c})
		return c
	}
	if n.many == nil {
		n.many = make(map[string]*node, 2*fewLiterals)
		for _, e := range n.few {
			n.many[e.text] = e.to
		}
		n.few = nil
	}
	n.many[text] = c
	return c
}

func (n *node) mixedChild(prefix, suffix string) *node {
	for _, e := range n.mixed {
		if e.prefix == prefix && e.suffix == suffix {
			return e.to
		}
	}
	e := mixedEdge{prefix, suffix, &node{}}
	n.mixed = append(n.mixed, e)
	return e.to
}

// compareMixed puts the longer literal first, then the longer prefix.
func compareMixed(a, b mixedEdge) int {
	return cmp.Or(
		cmp.Compare(len(b.prefix)+len(b.suffix), len(a.prefix)+len(a.suffix)),
		cmp.Compare(len(b.prefix), len(a.prefix)),
		cmp.Compare(a.prefix, b.prefix),
		cmp.Compare(a.suffix, b.suffix),
	)
}

// fits reports whether segment has the form prefix{}suffix. The parameter must not
// be empty and must not end within a percent-encoding.
func (e *mixedEdge) fits(segment string) bool {
	end := len(segment) - len(e.suffix)
	if end <= len(e.prefix) || !strings.HasPrefix(segment, e.prefix) || segment[end:] != e.suffix {
		return false
	}
	value := segment[len(e.prefix):end]
	percent := strings.LastIndexByte(value, '%')
	return percent < 0 || percent+3 <= len(value)
}

// finish sorts everything below n for walking. It calls hidden with each pair of
// rules of which no request can reach the second.
func (n *node) finish(hidden func(first, second *rule)) {
	slices.SortFunc(n.mixed, compareMixed)
	n.ends = sortRules(n.ends, hidden)
	n.rests = sortRules(n.rests, hidden)
	for _, e := range n.few {
		e.to.finish(hidden)
	}
	for _, c := range n.many {
		c.finish(hidden)
	}
	for _, e := range n.mixed {
		e.to.finish(hidden)
	}
	if n.param != nil {
		n.param.finish(hidden)
	}
}

// sortRules sorts the rules of one node and removes duplicates.
func sortRules(rules []*rule, hidden func(first, second *rule)) []*rule {
	unranked := make(map[string]*rule, len(rules))
	kept := rules[:0]
	for _, r := range rules {
		if r.rank == "" {
			if first := unranked[r.key]; first != nil {
				hidden(first, r)
				continue
			}
			unranked[r.key] = r
		}
		kept = append(kept, r)
	}
	slices.SortFunc(kept, precede)
	return kept
}

// search is one walk through an index. It calls try with the rules whose host and
// path fit, in the order of precedence, until try returns true. If try is nil, it
// looks for the first rule that query satisfies, and adds what that rule captures
// to params.
type search struct {
	try    func(*rule) bool
	query  *Query
	params *exchange.Params
	won    *rule
	visits int // nodes visited
}

// run reports whether the search ended early: try returned true, or a rule won.
func (s *search) run(ix *index, q *Query) bool {
	return q.Path != "" && q.Path[0] == '/' && s.hosts(ix, q.Host, q.Path[1:])
}

// walk continues at n with the remaining segments; more is false if none are left.
func (s *search) walk(n *node, rest string, more bool) bool {
	s.visits++
	if !more {
		return s.offer(n.ends) || s.offer(n.rests)
	}
	segment, end := rest, strings.IndexByte(rest, '/')
	if end >= 0 {
		segment = rest[:end]
	}
	if c := n.literal(segment); c != nil && s.below(c, rest, end) {
		return true
	}
	if segment != "" {
		for i := range n.mixed {
			if n.mixed[i].fits(segment) && s.below(n.mixed[i].to, rest, end) {
				return true
			}
		}
		if n.param != nil && s.below(n.param, rest, end) {
			return true
		}
	}
	return s.offer(n.rests)
}

// below continues at n with the part of rest after its first slash, which is at end.
// If end is negative, there is no slash.
func (s *search) below(n *node, rest string, end int) bool {
	if end < 0 {
		return s.walk(n, "", false)
	}
	return s.walk(n, rest[end+1:], true)
}

func (s *search) offer(rules []*rule) bool {
	if s.try != nil {
		return slices.ContainsFunc(rules, s.try)
	}
	for _, r := range rules {
		if r.accepts(s.query.Method) && s.holds(r) {
			s.won = r
			return true
		}
	}
	return false
}

// holds reports whether query satisfies the conditions of r. If so, it adds what r captures.
func (s *search) holds(r *rule) bool {
	if !r.conditional {
		r.capture(s.query, s.params)
		return true
	}
	before := s.params.Len()
	if r.conditions(s.query, s.params).lost() {
		s.params.Truncate(before)
		return false
	}
	return true
}
