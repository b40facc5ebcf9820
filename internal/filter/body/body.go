// Package body is the filter that bounds the bodies of a route's requests.
package body

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
)

// Config is the value of `body`.
type Config struct {
	// Max is the largest body of a request. It replaces the config's limits.body, whether it is larger or smaller.
	Max Size `doc:"max,required" help:"the largest request body, or unlimited" example:"1MB"`
}

// Size is a number of bytes; 0 is no limit.
type Size int64

const unlimited = "unlimited"

// DecodeDoc reads a size, or `unlimited`. A size of 0 is refused because it could mean either no body or no limit.
func (s *Size) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Scalar && n.Value == unlimited {
		*s = 0
		return
	}
	var size doc.Size
	if doc.Decode(n, &size, ps) && size == 0 {
		ps.Add(doc.Problem{
			Pos: n.Pos, What: "a body of 0B could mean no body or no bound", Why: "a guard must not be read in two ways",
			Fix: "write `body: unlimited` for no bound, or `body: 1B` for next to nothing",
		})
	}
	*s = Size(size)
}

// EncodeDoc writes the size as it is read.
func (s Size) EncodeDoc() *doc.Node {
	text := doc.Size(s).String()
	if s == 0 {
		text = unlimited
	}
	return &doc.Node{Kind: doc.Scalar, Value: text}
}

// DocSchema implements doc.SchemaWriter.
func (Size) DocSchema() *doc.Schema { return doc.TextSchema("a size such as 1MB, or unlimited") }

// DecodeDoc reads the short form, a size, or the long one.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Scalar {
		c.Max.DecodeDoc(n, ps)
		return
	}
	type long Config
	doc.Decode(n, (*long)(c), ps)
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	type long Config
	return doc.SchemaOr[long](Size(0).DocSchema())
}

// Definition is this kind of filter.
func Definition() filter.Definition {
	return filter.Define("body", "bounds the bodies of requests", filter.StageBounds,
		func() Config { return Config{} },
		func(_ filter.Env, c *Config) (filter.Policy, error) {
			if c.Max < 0 {
				return filter.Policy{}, errors.New("the largest body is less than nothing")
			}
			most := int64(c.Max)
			note := unlimited
			if most > 0 {
				note = "at most " + doc.Size(most).String()
			}
			b := bound{most}
			return filter.Policy{Guard: b.guard, Ask: b.ask, KeepsNothing: true, BodyBytes: &most, Note: note}, nil
		})
}

// bound is a Config ready to run. It refuses requests whose announced length is too large; the proxy enforces the limit
// on all other bodies as they arrive.
type bound struct{ most int64 } // 0: none

func (b bound) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := b.refuse(r); f != nil {
			exchange.Fail(w, f)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (b bound) ask(r *http.Request) filter.Verdict {
	f := b.refuse(r)
	if f == nil {
		return filter.Verdict{}
	}
	return filter.Verdict{Why: fmt.Sprintf("the body has %d bytes", r.ContentLength), Fault: f}
}

func (b bound) refuse(r *http.Request) *fault.Fault {
	if b.most == 0 || r.ContentLength <= b.most {
		return nil
	}
	return fault.BodyTooLarge.New("The body may have at most " + strconv.FormatInt(b.most, 10) + " bytes.")
}
