// Package allow is the filter that lets a request pass if a condition holds.
package allow

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
)

// Config is the value of `allow`: conditions, all of which must hold.
type Config []Rule

// Rule is one condition.
type Rule struct {
	// Rule must be true for the request to pass; an error counts as false.
	Rule *config.Expr `doc:"rule,required" help:"the condition that a request must meet" example:"=auth.has('orders:write')"`
	// Name identifies the rule in the log; by default its place in the file.
	Name string `doc:"name,omitzero" help:"the rule's name in the log" example:"writers"`
	// DryRun lets the request pass whatever the rule says, and logs the rule's result.
	DryRun bool `doc:"dry_run,omitzero" help:"only log the requests that the rule would have refused"`
}

// DecodeDoc reads a condition, a map, or a list of them.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	items := []*doc.Node{n}
	if n.Kind == doc.List {
		items = n.Items
	}
	if len(items) == 0 {
		ps.Add(doc.Problem{
			Pos: n.Pos, What: "allow has no condition", Why: "an empty list could mean everybody or nobody",
			Fix: "write a condition, for example `allow: =auth.has('orders:write')`",
		})
	}
	for _, item := range items {
		var rule Rule
		rule.DecodeDoc(item, ps)
		*c = append(*c, rule)
	}
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	rule := (*Rule)(nil).DocSchema()
	return &doc.Schema{AnyOf: append(rule.AnyOf, doc.ListSchema(rule))}
}

// DecodeDoc reads a condition, or a map.
func (r *Rule) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	switch {
	case n.Kind == doc.Map:
		type long Rule
		doc.Decode(n, (*long)(r), ps)
	case n.Kind == doc.Scalar && !strings.HasPrefix(strings.TrimSpace(n.Value), "="):
		ps.Add(doc.Problem{
			Pos: n.Pos, What: fmt.Sprintf("%q is no condition", n.Value), Why: "one begins with =, so that a name is not taken for one",
			Fix: "for example `allow: =auth.has('orders:write')`",
		})
	default:
		r.Rule = new(config.Expr)
		r.Rule.DecodeDoc(n, ps)
	}
}

// DocSchema implements doc.SchemaWriter.
func (*Rule) DocSchema() *doc.Schema {
	type long Rule
	return doc.SchemaOr[long](doc.TextSchema("a condition; it begins with ="))
}

// Expressions implements config.Expressive.
func (c *Config) Expressions() []config.Expression {
	list := make([]config.Expression, 0, len(*c))
	for _, r := range *c {
		list = append(list, config.Expression{Expr: r.Rule, Field: "allow", Want: expr.Bool, Guards: true, Tried: r.DryRun})
	}
	return list
}

// Definition is this kind of filter.
func Definition() filter.Definition {
	return filter.Define("allow", "lets requests pass where a condition holds", filter.StageAllow,
		func() Config { return Config{} }, build)
}

func build(env filter.Env, c *Config) (filter.Policy, error) {
	if len(*c) == 0 {
		return filter.Policy{}, fmt.Errorf("allow needs a condition")
	}
	p := &policy{decisions: env.Decisions("allow", slog.LevelInfo)}
	for _, r := range *c {
		if r.Rule == nil {
			return filter.Policy{}, fmt.Errorf("allow has a rule without a condition")
		}
		program, err := expr.Compile(r.Rule.Source, expr.Bool, expr.Request)
		if err != nil {
			return filter.Policy{}, fmt.Errorf("allow: %w", err)
		}
		name := r.Name
		if name == "" {
			name = r.Rule.Pos.String()
		}
		p.rules = append(p.rules, rule{name: name, program: program, asksCaller: program.Reads().Auth, dryRun: r.DryRun})
	}
	return filter.Policy{Guard: p.guard, Ask: p.ask, KeepsNothing: true, Note: c.note()}, nil
}

// Located says that a rule without a name is identified by its place while it serves.
func (*Config) Located() {}

// longest bounds how much of a condition explain shows.
const longest = 60

// note returns the condition, or how many there are.
func (c *Config) note() string {
	if len(*c) > 1 {
		return fmt.Sprintf("%d conditions", len(*c))
	}
	return shortened((*c)[0].Rule.Source)
}

// shortened returns a condition as one line.
func shortened(source string) string {
	source = strings.Join(strings.Fields(source), " ")
	if runes := []rune(source); len(runes) > longest {
		return string(runes[:longest]) + "..."
	}
	return source
}
