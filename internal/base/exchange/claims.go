package exchange

import (
	"sync"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// Claims are what is said about a caller, by name. Claims of a token are decoded on first use, because most requests
// never use them. They are immutable and safe for concurrent use; nil has none.
type Claims struct {
	object jsonx.Value // until they are decoded
	decode sync.Once
	all    map[string]any
}

// ClaimsOf returns claims that are already decoded: values as jsonx.Value.Any returns them. They belong to the result.
func ClaimsOf(all map[string]any) *Claims { return &Claims{all: all} }

// IdentityIn returns an identity whose claims are the members of a JSON object, and that has nothing else yet.
func IdentityIn(object jsonx.Value) *Identity {
	both := &struct { // one allocation: there are many identities if each caller comes once
		Identity

		claims Claims
	}{claims: Claims{object: object}}
	both.Claims = &both.claims
	return &both.Identity
}

// All returns the claims, integers exact. They must not be changed.
func (c *Claims) All() map[string]any {
	if c == nil {
		return nil
	}
	c.decode.Do(func() {
		if object, ok := c.object.Any().(map[string]any); ok {
			c.all = object
		}
		c.object = jsonx.Value{} // its text is no longer needed
	})
	return c.all
}
