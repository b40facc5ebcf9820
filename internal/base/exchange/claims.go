package exchange

import (
	"sync"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// Claims are what is said of a caller, by name. Those of a token are decoded when somebody first
// asks for them, for with most requests nobody does. They are immutable and safe for concurrent
// use; nil has none.
type Claims struct {
	object jsonx.Value // until they are decoded
	decode sync.Once
	all    map[string]any
}

// ClaimsOf gives claims that are decoded: values as jsonx.Value.Any has them. They belong to the result.
func ClaimsOf(all map[string]any) *Claims { return &Claims{all: all} }

// IdentityIn gives an identity whose claims are the members of a JSON object, and nothing else yet.
func IdentityIn(object jsonx.Value) *Identity {
	both := &struct { // one object: there are many where callers come once
		Identity

		claims Claims
	}{claims: Claims{object: object}}
	both.Claims = &both.claims
	return &both.Identity
}

// All gives the claims, integers exact. Nobody changes them.
func (c *Claims) All() map[string]any {
	if c == nil {
		return nil
	}
	c.decode.Do(func() {
		if object, ok := c.object.Any().(map[string]any); ok {
			c.all = object
		}
		c.object = jsonx.Value{} // its text is of no use any more
	})
	return c.all
}
