package route

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// RestParam is the name under which an unnamed rest (`**`, or a path prefix) is captured.
const RestParam = "**"

// Rule is one match of one route, with everything that decides its precedence.
type Rule[T any] struct {
	Host  string // "" any, "shop.dev", "*.shop.dev" or "{tenant}.shop.dev"
	Match config.Match
	// When is Match.When compiled, nil if there is none. It may read the
	// parameters of this match from the request's exchange, provided that Match is
	// called with the Params of that exchange. It must not panic; an expression's
	// error is false.
	When      func(*http.Request) bool
	HeadByGet bool   // a GET rule answers HEAD too
	Rank      string // breaks the last tie, lower first; see config.SourcePolicy
	// WhenReadsQuery reports whether When reads the query.
	WhenReadsQuery bool
	Origin         config.Origin // for problems and explain
	Name           string        // the route's
	Value          T             // what Match returns
	// Reading is the result of Read for Host and Match; if it is nil, Build calls Read. A
	// rule that is built into one table after another need not be read each time.
	Reading *Reading
}

// Table finds the rule of a request. It is immutable and safe for concurrent use.
type Table[T any] struct {
	index      index
	values     []T
	readsQuery bool
	byPath     func() []*rule // sorted when the first request misses
}

// ReadsQuery reports whether any rule has a condition on a query parameter. If so,
// the caller must refuse a query that servers read differently before it calls Match
// (httpx.CheckQuery): the backend has to see the parameters that decided.
func (t *Table[T]) ReadsQuery() bool { return t.readsQuery }

// Query is the subject of a lookup. Host and Path are already normalised (package
// httpx). Method may differ from the request's own, as for a CORS preflight.
// Request supplies the values for conditions on fields and for expressions.
type Query struct {
	Method, Host, Path string
	Request            *http.Request
}

// Build makes a table of rules. Its problems are the rules that it could not read
// and the rules that another rule hides completely; these are not in the table.
func Build[T any](rules []Rule[T]) (*Table[T], []doc.Problem) {
	t := &Table[T]{index: newIndex(), values: make([]T, len(rules))}
	var problems doc.Problems
	for i := range rules {
		t.values[i] = rules[i].Value
		r, err := compile(&rules[i], i)
		if err != nil {
			problems.Add(problemOf(&rules[i], err))
			continue
		}
		t.index.add(r)
		t.readsQuery = t.readsQuery || rules[i].WhenReadsQuery || len(rules[i].Match.Query) > 0
	}
	t.index.finish(func(first, second *rule) { problems.Add(duplicate(first, second)) })
	t.byPath = sync.OnceValue(t.index.byPath)
	return t, problems.Sorted()
}

// duplicate returns the problem that no request could ever reach second.
func duplicate(first, second *rule) doc.Problem {
	return doc.Problem{
		Pos:  second.origin.Pos,
		What: fmt.Sprintf("%s matches exactly what %s matches", second, first),
		Why:  fmt.Sprintf("%q at %s and %q at %s cannot both answer", first.name, first.origin, second.name, second.origin),
		Fix:  "remove one, or give one a condition that the other does not have",
	}
}

// Match finds the first rule in the order of precedence that q satisfies, and
// adds what its patterns captured to p: host first, then path. A rest is still
// encoded and without its leading slash; every other value is decoded. If nothing
// matches, p is unchanged. Match allocates only for encoded values and for more
// parameters than exchange.Params holds inline.
func (t *Table[T]) Match(q *Query, p *exchange.Params) (T, bool) {
	s := search{query: q, params: p}
	if !s.run(&t.index, q) {
		var none T
		return none, false
	}
	return t.values[s.won.index], true
}

// Methods returns the methods with which q would have matched, sorted, including
// HEAD where a GET rule answers it. It is meant for the Allow header of a 405,
// after Match has found nothing.
func (t *Table[T]) Methods(q *Query) []string {
	p, giveBack := borrowParams(q)
	defer giveBack()
	var methods []string
	s := search{try: func(r *rule) bool {
		if r.method != "" && !r.conditions(q, p).lost() {
			methods = append(methods, r.method)
			if r.method == http.MethodGet && r.headByGet {
				methods = append(methods, http.MethodHead)
			}
		}
		p.Truncate(0)
		return false
	}}
	s.run(&t.index, q)
	slices.Sort(methods)
	return slices.Compact(methods)
}

// precede orders rules that have the same host and path.
func precede(a, b *rule) int {
	return cmp.Or(
		cmp.Compare(a.methodRank(), b.methodRank()),
		cmp.Compare(len(b.headers), len(a.headers)),
		cmp.Compare(len(b.query), len(a.query)),
		cmp.Compare(len(b.cookies), len(a.cookies)),
		-compareBool(a.when != nil, b.when != nil),
		cmp.Compare(a.rank, b.rank),
		cmp.Compare(a.key, b.key),
		cmp.Compare(a.name, b.name),
		cmp.Compare(a.index, b.index),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}
