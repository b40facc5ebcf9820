// Package coalesce is the filter that asks the backend only once for identical requests that are under way at the same
// time.
//
//   - config.go: the config.
//   - key.go: which requests are identical.
//   - coalesce.go: which requests ask, and which wait.
//   - flight.go: one call to the backend, with the requests that wait for it.
//   - record.go: its body, while it arrives.
//   - share.go: which responses may be shared.
package coalesce

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
)

// Config is the value of `coalesce`.
type Config struct {
	// Vary names header fields that tell requests apart, in addition to those that always do.
	Vary []string `doc:"vary,oneormany,omitzero" help:"request header fields that tell requests apart, in addition to the usual ones" example:"[X-Tenant]"`
	// Shared allows a caller to get a response made for another caller.
	Shared bool `doc:"shared,omitzero" help:"whether requests of different callers count as identical" example:"true"`
	// Body is the largest response that is shared.
	Body doc.Size `doc:"body" help:"the largest response body that is shared" example:"1MiB"`
	// Wait is how long a request waits for another request's response before it is sent on its own.
	Wait time.Duration `doc:"wait" help:"how long a request waits for another's response before it is sent on its own" example:"5s"`
}

// The defaults, and the bounds of what makes sense. A route never holds more than mostHeld for all responses together.
const (
	defaultBody = 1 * doc.MiB
	mostBody    = 16 * doc.MiB
	mostHeld    = 64 * doc.MiB
	defaultWait = 5 * time.Second // as nginx's proxy_cache_lock_timeout
	mostWaiters = 1000            // for one response
)

func defaults() Config { return Config{Body: defaultBody, Wait: defaultWait} }

// DecodeDoc reads `true` or a map.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	type long Config
	if !doc.DecodeSwitch(n, (*long)(c), "coalesce", "write `coalesce: true`, or `coalesce: none` where it should not be inherited", ps) {
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
	switch i := slices.IndexFunc(c.Vary, func(name string) bool { return !httpguts.ValidHeaderFieldName(name) }); {
	case i >= 0:
		return fmt.Errorf("vary: %q is not the name of a field", c.Vary[i])
	case c.Body < 1 || c.Body > mostBody:
		return fmt.Errorf("body: %v is not from 1 to %v", c.Body, mostBody)
	case c.Wait <= 0:
		return errors.New("wait: it must be more than nothing")
	}
	return nil
}

// Definition is this kind of filter.
func Definition() filter.Definition {
	return filter.Define("coalesce", "asks the backend once for identical requests under way", filter.StageCache, defaults,
		func(env filter.Env, c *Config) (filter.Policy, error) {
			if err := c.validate(); err != nil {
				return filter.Policy{}, err
			}
			return filter.Policy{Adapt: newCoalescer(env, c).adapt, Note: c.note(), Transparent: true, ForOneBackend: true}, nil
		})
}

func (c *Config) note() string {
	note := fmt.Sprintf("identical GET and HEAD once, up to %v", c.Body)
	if c.Shared {
		note += ", for all callers"
	}
	return note
}
