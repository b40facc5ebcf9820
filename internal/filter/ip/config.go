// Package ip is the filter that lets a request pass by the address of its client.
package ip

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
)

// Config is the value of `ip`.
type Config struct {
	// Allow are the ranges that may pass; without any, all may.
	Allow []config.Prefix `doc:"allow,oneormany,omitzero" help:"address ranges of clients that may pass; all by default" example:"[10.0.0.0/8]"`
	// Deny are the ranges that are refused, even where Allow includes them.
	Deny []config.Prefix `doc:"deny,oneormany,omitzero" help:"address ranges of clients that may not pass, even if allow includes them" example:"[10.9.0.0/16]"`
	// DryRun lets every request pass, and logs those that the rule would have refused.
	DryRun bool `doc:"dry_run,omitzero" help:"let all requests pass, and log those that would have been refused"`
}

// DecodeDoc reads the short form, a range or a list of them, or the long one.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	type long Config
	at := n.Pos
	if n.Kind != doc.Map {
		n = n.Under("allow")
	}
	if !doc.Decode(n, (*long)(c), ps) {
		return
	}
	if err := c.check(n.Get("allow") != nil); err != nil {
		ps.Add(doc.Problem{Pos: at, What: err.Error(), Fix: "for example `ip: [10.0.0.0/8]`, or `ip: { deny: [192.0.2.0/24] }`"})
	}
}

// check tells what is wrong with c; said is whether there is an allow list.
func (c *Config) check(said bool) error {
	switch {
	case said && len(c.Allow) == 0:
		return errors.New("the list of who may pass is empty, which could mean everybody or nobody")
	case len(c.Allow)+len(c.Deny) == 0:
		return errors.New("ip names no range of addresses")
	}
	return nil
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	type long Config
	prefix := config.Prefix{}.DocSchema()
	return doc.SchemaOr[long](prefix, doc.ListSchema(prefix))
}

// Definition is this kind of filter.
func Definition() filter.Definition {
	return filter.Define("ip", "lets requests pass by the address of the client", filter.StageIP,
		func() Config { return Config{} },
		func(env filter.Env, c *Config) (filter.Policy, error) {
			if err := c.check(false); err != nil {
				return filter.Policy{}, err
			}
			p := newPolicy(c, env.Decisions("ip", slog.LevelDebug))
			return filter.Policy{Guard: p.guard, Ask: p.ask, KeepsNothing: true, Note: c.note()}, nil
		})
}

// note is the text for explain: "only 10.0.0.0/8, not 2 ranges".
func (c *Config) note() string {
	some := func(list []config.Prefix) string {
		if len(list) == 1 {
			return list[0].String()
		}
		return fmt.Sprintf("%d ranges", len(list))
	}
	switch {
	case len(c.Deny) == 0:
		return "only " + some(c.Allow)
	case len(c.Allow) == 0:
		return "not " + some(c.Deny)
	default:
		return "only " + some(c.Allow) + ", not " + some(c.Deny)
	}
}
