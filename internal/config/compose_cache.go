package config

import (
	"cmp"
	"fmt"
	"time"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// cacheForm is how long a step's results are kept: the time alone, or a map.
type cacheForm struct {
	TTL    time.Duration `doc:"ttl,required" help:"how long a result is kept at most; a response may set a shorter time" example:"30s"`
	Shared bool          `doc:"shared" help:"whether different callers share results" example:"true"`
	Memory doc.Size      `doc:"memory" help:"the most memory that all results of the step use; 8MiB by default" example:"64MiB"`
	Renew  *Expr         `doc:"renew" help:"if true, calls the backend even if a result is kept, and keeps the new result" example:"=request.headers['cache-control'] == 'no-cache'"`
	At     doc.Pos       `doc:"-,pos"`
}

// plainCache is cacheForm without its short form.
type plainCache cacheForm

func (c *cacheForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Scalar {
		n = n.Under("ttl")
	}
	c.At = n.Pos
	doc.Decode(n, (*plainCache)(c), ps)
}

// DocSchema implements doc.SchemaWriter.
func (cacheForm) DocSchema() *doc.Schema { return doc.SchemaOr[plainCache](text("how long, as 30s")) }

// cache lowers the form; nil if c is nil.
func (c *cacheForm) cache() *StepCache {
	if c == nil {
		return nil
	}
	return &StepCache{TTL: c.TTL, Shared: c.Shared, Bytes: cmp.Or(int64(c.Memory), DefaultCacheBytes), Renew: c.Renew, Pos: c.At}
}

// cache checks the cache of a step.
func (g *graph) cache(s *Step) {
	c := s.Cache
	if c == nil {
		return
	}
	if isMethod(s.Method) && !httpx.IsSafe(s.Method) {
		g.add(c.Pos, fmt.Sprintf("the step %q has cache and the method %s", s.Name, s.Method), "a request that changes something must reach its backend each time", "remove cache, or use GET")
	}
	for _, e := range s.filterExpressions() {
		if program, err := expr.Compile(e.Source, e.Want, cmp.Or(e.Scope, expr.Request)); err == nil && (program.Reads().Peer || program.Reads().Auth && c.Shared) {
			g.add(e.Pos, fmt.Sprintf("the transform of the step %q reads who is calling, and its result is kept for other callers", s.Name), "results are kept by what the step sends, unless shared by who is calling, and the transform comes after", "let the step send it, as a header or in the query, and read that")
		}
	}
	if c.TTL < 0 || c.TTL > maxCacheTTL || c.TTL == 0 && !g.rough { // or it is missing
		g.add(c.Pos, fmt.Sprintf("the step %q keeps its results for %s", s.Name, durationNode(c.TTL).Value), "", "write a time of up to 24h")
	}
	if c.Bytes < minCacheBytes || c.Bytes > maxCacheBytes {
		g.add(c.Pos, fmt.Sprintf("the cache of the step %q has %s of memory", s.Name, doc.Size(c.Bytes)), "", fmt.Sprintf("write %s to %s", doc.Size(minCacheBytes), doc.Size(maxCacheBytes)))
	}
}

// expressions returns the expressions of a cache.
func (c *StepCache) expressions(s *Step, scope expr.Scope) []Expression {
	if c == nil {
		return nil
	}
	return []Expression{{Expr: c.Renew, Field: s.Name + ".cache.renew", Want: expr.Bool, Scope: scope}}
}

// cache prints the cache of a step.
func (expander) cache(c *StepCache) *doc.Node {
	if c == nil {
		return nil
	}
	f := newFields()
	f.put("ttl", durationNode(c.TTL), "")
	if c.Shared {
		f.put("shared", doc.EncodeNode(true), "")
	}
	f.size("memory", c.Bytes, DefaultCacheBytes)
	f.expr("renew", c.Renew)
	return &f.Node
}
