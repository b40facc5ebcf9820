package exchange

import (
	"sync"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// Claims are statements about a caller, by name. The claims of a token are decoded on first use, because most requests
// never need them. Claims are immutable and safe for concurrent use; a nil *Claims is empty.
type Claims struct {
	object jsonx.Value // until the claims are decoded
	decode sync.Once
	all    map[string]any
}

// ClaimsOf wraps claims that are decoded already, with values as jsonx.Value.Any returns them. The result owns the map.
func ClaimsOf(all map[string]any) *Claims { return &Claims{all: all} }

// IdentityIn returns an identity whose claims are the members of a JSON object. Its other fields are empty.
func IdentityIn(object jsonx.Value) *Identity {
	both := &struct { // one allocation: there are many of these where each caller sends one request
		Identity

		claims Claims
	}{claims: Claims{object: object}}
	both.Claims = &both.claims
	return &both.Identity
}

// All returns the claims, with integers exact. The map must not be changed.
func (c *Claims) All() map[string]any {
	if c == nil {
		return nil
	}
	c.decode.Do(func() {
		if object, ok := c.object.Any().(map[string]any); ok {
			c.all = object
		}
		c.object = jsonx.Value{} // the text is no longer needed
	})
	return c.all
}
