// Package limit is the filter that bounds how many requests pass: per unit of time and at once.
//
//   - config.go, rate.go: the config.
//   - limit.go: the guard, request by request.
//   - key.go: what requests are counted by.
//   - store.go: whether the counts leave room; table.go: where they are kept.
//   - inflight.go: how many are under way.
//   - fields.go: what clients are told.
package limit

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
)

// Config is the value of `limit`: limits that must all have room.
type Config []Limit

// Limit is one limit: exactly one of Rate, Plans and Concurrent is set.
type Limit struct {
	Rate  *Rate `doc:"rate,omitzero" help:"how many requests may pass in a period" example:"50/s"`
	Burst int64 `doc:"burst,omitzero" help:"how many of them may come at once; all by default" example:"100"`
	// Plans are rates by name; Plan selects the one that applies to a request.
	Plans     map[string]Plan `doc:"plans,omitzero" help:"rates, by plan name" example:"{ gold: 100/s, free: 5/s }"`
	Plan      *config.Expr    `doc:"plan,omitzero" help:"the name of the plan that applies to the request" example:"=auth.claims.plan"`
	Otherwise string          `doc:"otherwise,omitzero" help:"the plan for requests without a known plan; by default such requests are refused" example:"free"`
	// Concurrent is how many requests may be under way at once.
	Concurrent int64 `doc:"concurrent,omitzero" help:"how many requests may be under way at once" example:"10"`
	// Per is what requests are counted by, separately for each value; nil counts all together.
	Per *config.Expr `doc:"per,omitzero" help:"the key by which requests are counted separately; by default all requests count together" example:"=client.ip"`
	// Cost is how much a request counts; nil is 1.
	Cost *config.Expr `doc:"cost,omitzero" help:"how much a request counts; 1 by default" example:"=request.method == 'POST' ? 5 : 1"`
	// Name is the name that clients are told.
	Name string `doc:"name,omitzero" help:"the limit's name for clients and in the log" example:"per-user"`
	// Shared counts together with every limit that has the same value here.
	Shared string `doc:"shared,omitzero" help:"a name; limits of other routes with the same name here count together with this one" example:"search"`
	// Keys is how many values of Per are tracked separately; see table.
	Keys   int     `doc:"keys,omitzero" help:"about how many keys are tracked separately, at sixteen bytes each; 1048576 by default" example:"100000"`
	DryRun bool    `doc:"dry_run,omitzero" help:"only log requests that would have been refused"`
	Quiet  bool    `doc:"quiet,omitzero" help:"do not tell clients about the limit in RateLimit header fields"`
	At     doc.Pos `doc:"-,pos"`
}

// Plan is the rate of a plan, or no limit at all.
type Plan struct {
	Rate
	Unlimited bool
}

const unlimited = "unlimited"

// DecodeDoc reads a rate, or `unlimited`.
func (p *Plan) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Scalar && n.Value == unlimited {
		p.Unlimited = true
		return
	}
	p.Rate.DecodeDoc(n, ps)
}

// EncodeDoc writes the plan as it is read.
func (p Plan) EncodeDoc() *doc.Node {
	if p.Unlimited {
		return &doc.Node{Kind: doc.Scalar, Value: unlimited}
	}
	return p.Rate.EncodeDoc()
}

// DocSchema implements doc.SchemaWriter.
func (Plan) DocSchema() *doc.Schema {
	return &doc.Schema{AnyOf: []*doc.Schema{Rate{}.DocSchema(), {Enum: []string{unlimited}}}}
}

// DecodeDoc reads a limit or a list of them.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	items := []*doc.Node{n}
	if n.Kind == doc.List {
		items = n.Items
	}
	if len(items) == 0 {
		ps.Add(doc.Problem{Pos: n.Pos, What: "limit has no limit", Fix: "for example `limit: 50/s per client.ip`"})
	}
	for _, item := range items {
		var l Limit
		l.DecodeDoc(item, ps)
		*c = append(*c, l)
	}
	c.checkNames(ps)
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	one := (*Limit)(nil).DocSchema()
	return &doc.Schema{AnyOf: append(one.AnyOf, doc.ListSchema(one))}
}

// DecodeDoc reads the short form, `RATE [burst N] [per KEY]`, or a map.
func (l *Limit) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	var own doc.Problems
	switch n.Kind {
	case doc.Map:
		type long Limit
		doc.Decode(n, (*long)(l), &own)
		l.checkZeros(n, &own)
	case doc.Scalar:
		l.short(n, &own)
	default:
		own.Add(doc.Problem{Pos: n.Pos, What: "a limit is " + n.Kind.String(), Why: "it is a text or a map", Fix: "for example `limit: 50/s per client.ip`"})
	}
	if !own.Failed() {
		l.joinBurst(&own)
		l.check(&own)
	}
	ps.Join(&own)
}

// checkZeros refuses an explicit 0: it does not mean that there is no limit.
func (l *Limit) checkZeros(n *doc.Node, ps *doc.Problems) {
	for _, number := range []struct {
		key  string
		zero bool
		fix  string
	}{
		{"burst", l.Burst == 0, "write a number of at least 1"},
		{"concurrent", l.Concurrent == 0, "write a number of at least 1; to let nothing pass write `allow: =false`"},
		{"keys", l.Keys == 0, fmt.Sprintf("write %d to %d", leastKeys, mostKeys)},
	} {
		if value := n.Get(number.key); number.zero && value != nil && value.Value == "0" {
			ps.Add(doc.Problem{Pos: value.Pos, What: number.key + " is 0", Fix: number.fix})
		}
	}
}

// short reads the short form.
func (l *Limit) short(n *doc.Node, ps *doc.Problems) {
	l.At = n.Pos
	rate, key, err := parseText(n.Value)
	if err != nil {
		ps.Add(problem(n, err))
		return
	}
	l.Rate = &rate
	if key.text == "" {
		return
	}
	at := n.Pos
	at.Col += key.at
	if n.Quoted {
		at.Col++
	}
	l.Per = new(config.Expr)
	l.Per.DecodeDoc(&doc.Node{Kind: doc.Scalar, Pos: at, Value: key.text}, ps)
}

// DocSchema implements doc.SchemaWriter.
func (*Limit) DocSchema() *doc.Schema {
	type long Limit
	return doc.SchemaOr[long](doc.TextSchema("a rate, with `per KEY` behind it or without: 50/s per client.ip"))
}

// joinBurst makes `burst: 9` beside a rate a part of the rate.
func (l *Limit) joinBurst(ps *doc.Problems) {
	switch {
	case l.Burst == 0:
		return
	case l.Rate == nil:
		ps.Add(doc.Problem{Pos: l.At, What: "burst stands without a rate", Fix: "write `rate:` beside it; in plans it stands behind each rate, as `gold: 100/s burst 200`"})
	case l.Rate.Burst != l.Rate.Count:
		ps.Add(doc.Problem{Pos: l.At, What: "the burst is said twice", Fix: "write it once"})
	case l.Burst < 1:
		ps.Add(doc.Problem{Pos: l.At, What: "a burst is at least 1"})
	default:
		l.Rate.Burst = l.Burst
		if err := check(*l.Rate, 0); err != nil {
			ps.Add(doc.Problem{Pos: l.At, What: err.Error()})
		}
	}
	l.Burst = 0
}

// check enforces the rules for one limit.
func (l *Limit) check(ps *doc.Problems) {
	add := func(what, why, fix string) { ps.Add(doc.Problem{Pos: l.At, What: what, Why: why, Fix: fix}) }
	kinds := 0
	for _, said := range []bool{l.Rate != nil, l.Plans != nil, l.Concurrent != 0} {
		if said {
			kinds++
		}
	}
	if kinds != 1 {
		add("a limit is exactly one of rate, plans and concurrent", "", "for example `{ rate: 50/s, per: =client.ip }`; several limits are a list")
		return
	}
	l.checkPlans(add)
	switch {
	case l.Concurrent < 0:
		add("concurrent is less than nothing", "", "write a number of at least 1")
	case l.Concurrent > 0 && l.Cost != nil:
		add("cost stands beside concurrent", "a request that is under way counts 1", "leave it out")
	case l.Keys != 0 && l.Concurrent > 0:
		add("keys stands beside concurrent", "the keys of requests under way are as many as there are", "leave it out")
	case l.Keys != 0 && (l.Keys < leastKeys || l.Keys > mostKeys):
		add(fmt.Sprintf("keys is %d", l.Keys), "", fmt.Sprintf("write %d to %d", leastKeys, mostKeys))
	case l.fixedCost() < 0:
		add("cost is less than nothing", "", "write a number of at least 0, or an expression")
	case l.Rate != nil && l.fixedCost() > l.Rate.Burst:
		add(fmt.Sprintf("a cost of %d is more than the burst of %d", l.fixedCost(), l.Rate.Burst), "so no request would ever pass", "write a smaller cost, or a larger burst")
	}
	for _, name := range []string{l.Name, l.Shared} {
		if !isName(name) && name != "" {
			add(fmt.Sprintf("%q is no name of a limit", name), "clients are told it", "write letters, digits and . _ / -, at most 64 of them")
		}
	}
}

func (l *Limit) checkPlans(add func(what, why, fix string)) {
	switch {
	case l.Plans == nil && l.Plan != nil:
		add("plan stands without plans", "", "write `plans:` with the rate of each")
	case l.Plans == nil && l.Otherwise != "":
		add("otherwise stands without plans", "", "leave it out")
	case l.Plans == nil:
	case len(l.Plans) == 0:
		add("plans has no plan", "", "for example `plans: { gold: 100/s, free: 5/s }`")
	case l.Plan == nil:
		add("plans stands without plan", "which one counts for a request must be said", "for example `plan: =auth.claims.plan`")
	case l.Otherwise != "" && !slices.Contains(l.names(), l.Otherwise):
		fix := "there are " + strings.Join(l.names(), ", ")
		if near, ok := doc.Suggest(l.Otherwise, l.names()); ok {
			fix = fmt.Sprintf("did you mean %q?", near)
		}
		add(fmt.Sprintf("otherwise names the plan %q, which does not exist", l.Otherwise), "", fix)
	}
	for _, name := range l.names() {
		if !isName(name) {
			add(fmt.Sprintf("%q is no name of a plan", name), "clients are told it", "write letters, digits and . _ / -, at most 64 of them")
		}
	}
}

// names are the sorted names of the plans.
func (l *Limit) names() []string { return slices.Sorted(maps.Keys(l.Plans)) }

// fixedCost is a cost that is a number, 1 if there is none and 0 if it is computed.
func (l *Limit) fixedCost() int64 {
	if l.Cost == nil {
		return 1
	}
	n, err := strconv.ParseInt(l.Cost.Source, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// checkNames requires that no two limits of a list have the same name or count together.
func (c *Config) checkNames(ps *doc.Problems) {
	names, shared := map[string]bool{}, map[string]bool{}
	for _, l := range *c {
		if l.Name != "" && names[l.Name] {
			ps.Add(doc.Problem{Pos: l.At, What: fmt.Sprintf("a second limit %q", l.Name), Why: "clients could not tell them apart", Fix: "give one of them another name"})
		}
		if l.Shared != "" && shared[l.Shared] {
			ps.Add(doc.Problem{Pos: l.At, What: fmt.Sprintf("a second limit shares %q", l.Shared), Why: "a request would be counted twice", Fix: "give one of them another name, or leave shared out"})
		}
		names[l.Name], shared[l.Shared] = true, true
	}
}

// isName holds for short, plain names that need no quoting in a header field.
func isName(s string) bool {
	const longest = 64
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("._/-", r)
	}
	return s != "" && len(s) <= longest && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) })
}

// Expressions implements config.Expressive.
func (c *Config) Expressions() []config.Expression {
	var list []config.Expression
	for _, l := range *c {
		for _, e := range []config.Expression{
			{Expr: l.Per, Field: "per", Want: expr.String, Guards: true, Key: true},
			{Expr: l.Plan, Field: "plan", Want: expr.String, Guards: true},
			{Expr: l.Cost, Field: "cost", Want: expr.Int, Guards: true},
		} {
			if e.Expr != nil {
				list = append(list, e)
			}
		}
	}
	return list
}

// asksCaller tells whether the limit cannot be decided before the caller is known.
func (l *Limit) asksCaller() bool {
	for _, e := range []*config.Expr{l.Per, l.Plan, l.Cost} {
		if e == nil || !strings.Contains(e.Source, "auth") {
			continue
		}
		if p, err := expr.Compile(e.Source, expr.Any, expr.Request); err == nil && p.Reads().Auth {
			return true
		}
	}
	return false
}

// place is behind auth if some limit asks who is calling.
func (c *Config) place() filter.Stage {
	if slices.ContainsFunc(*c, func(l Limit) bool { return l.asksCaller() }) {
		return filter.StageLimitByIdentity
	}
	return filter.StageLimit
}

// split separates the limits that can be decided before auth, which they then protect, from the others.
func (c *Config) split() []*Config {
	var before, behind Config
	for _, l := range *c {
		if l.asksCaller() {
			behind = append(behind, l)
		} else {
			before = append(before, l)
		}
	}
	if len(before) == 0 || len(behind) == 0 {
		return []*Config{c}
	}
	return []*Config{&before, &behind}
}

// Definition is this kind of filter.
func Definition() filter.Definition {
	return filter.Placed(
		filter.Define("limit", "bounds how many requests pass, in a time and at once", filter.StageLimit,
			func() Config { return Config{} }, build),
		(*Config).place, (*Config).split)
}
