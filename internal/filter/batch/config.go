// Package batch is the filter that answers one request by running several of the gateway's own routes.
//
//   - config.go: the config.
//   - read.go: the batches that clients send.
//   - batch.go: which part runs when.
//   - part.go: one part, from request to response.
//   - rehearse.go: the parts of a batch that is only explained, not run.
package batch

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
)

// Config is the value of `batch`.
type Config struct {
	// Requests is how many parts a batch may have, Parallel how many of them run at once.
	Requests int `doc:"requests" help:"how many parts a batch may have" example:"50"`
	Parallel int `doc:"parallel" help:"how many parts of a batch may run at once" example:"4"`
	// Body is the largest batch, Response the largest total size of its responses' bodies.
	Body     doc.Size `doc:"body" help:"the largest body of a batch" example:"256KiB"`
	Response doc.Size `doc:"response" help:"the largest total size of all response bodies" example:"16MiB"`
	// Inherit are the fields of the batch that its parts get, unless they set their own.
	Inherit []string `doc:"inherit,oneormany" help:"header fields of the batch that apply to its parts too, unless a part has its own" example:"[Authorization, Cookie, X-Tenant]"`
}

// The defaults, and the bounds of what makes sense.
const (
	defaultRequests = 20 // as Microsoft Graph
	mostRequests    = 100
	defaultParallel = 8
	mostParallel    = 32
	defaultBody     = 1 * doc.MiB
	mostBody        = 16 * doc.MiB
	defaultResponse = 8 * doc.MiB
	mostResponse    = 64 * doc.MiB
)

func defaults() Config {
	return Config{Requests: defaultRequests, Parallel: defaultParallel, Body: defaultBody, Response: defaultResponse, Inherit: []string{"Authorization", "Cookie"}}
}

// DecodeDoc reads `true` or a map.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	type long Config
	if !doc.DecodeSwitch(n, (*long)(c), "batch", "write `batch: true`", ps) {
		return
	}
	if err := c.validate(); err != nil {
		ps.Add(doc.Problem{Pos: n.Pos, What: err.Error()})
	}
}

// EncodeDoc writes the long form.
func (c *Config) EncodeDoc() *doc.Node {
	type long Config
	return doc.EncodeNode((*long)(c))
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	type long Config
	return doc.SchemaOr[long](doc.TextSchema("true"))
}

func (c *Config) validate() error {
	if i := slices.IndexFunc(c.Inherit, func(name string) bool { return !httpx.IsToken(name) || ofBatch(name) || always(name) }); i >= 0 {
		return fmt.Errorf("inherit: %q is no field that parts could have or not", c.Inherit[i])
	}
	for _, n := range []struct {
		key          string
		is, from, to int64
		showing      func(int64) string
	}{
		{"requests", int64(c.Requests), 1, mostRequests, plain},
		{"parallel", int64(c.Parallel), 1, mostParallel, plain},
		{"body", int64(c.Body), 1, int64(mostBody), size},
		{"response", int64(c.Response), 1, int64(mostResponse), size},
	} {
		if n.is < n.from || n.is > n.to {
			return fmt.Errorf("%s: %s is not from %s to %s", n.key, n.showing(n.is), n.showing(n.from), n.showing(n.to))
		}
	}
	return nil
}

func plain(n int64) string { return fmt.Sprint(n) }
func size(n int64) string  { return doc.Size(n).String() }

// always holds for fields that parts take from the batch and cannot set themselves: they tell guards what kind of page
// has sent it.
func always(name string) bool {
	return strings.EqualFold(name, "Origin") || strings.EqualFold(name, "Referer") || len(name) > len(fetchFamily) && strings.EqualFold(name[:len(fetchFamily)], fetchFamily)
}

// fetchFamily is the prefix of field names that only browsers set (Fetch Metadata).
const fetchFamily = "Sec-"

// along holds for fields that parts take from the batch unless they set their own, whatever the config says: they do
// not identify the caller, and Via ends loops.
func along(name string) bool {
	return slices.ContainsFunc([]string{"User-Agent", "Accept-Language", "Traceparent", "Tracestate", "Via"}, func(n string) bool { return strings.EqualFold(n, name) })
}

// ofBatch holds for fields that no part can have: those of the connection, those that frame a message, and those that
// only proxies set.
func ofBatch(name string) bool { return forward.Managed(name) }

// Definition is this kind of filter.
func Definition() filter.Definition {
	return filter.Define("batch", "answers one request with several of the gateway's own routes", filter.StageBatch, defaults,
		func(env filter.Env, c *Config) (filter.Policy, error) {
			if err := c.validate(); err != nil {
				return filter.Policy{}, err
			}
			b := &batch{config: c, group: env.Group, log: env.Log}
			limit := int64(c.Body)
			return filter.Policy{Guard: b.guard, Adapt: func(http.RoundTripper) http.RoundTripper { return b }, BodyBytes: &limit, Parts: b.rehearsed, Note: c.note()}, nil
		})
}

func (c *Config) note() string {
	return fmt.Sprintf("up to %d parts, %d at once", c.Requests, c.Parallel)
}
