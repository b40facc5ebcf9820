package config

import "github.com/weir-gateway/weir/internal/base/expr"

// Vocabulary is what a config may name in addition to this package: the kinds of filters, functions and auth, and the
// schemes, that the program was built with. Load decodes their configs into their own structs, and suggestions and the
// schema include them.
type Vocabulary struct {
	Filters   []Kind
	Functions []Kind
	Auths     []Kind
	// Discoveries are the kinds of sources of endpoints, which stand below `discovery`.
	Discoveries []Kind
	// Clouds are the kinds of platforms, which stand below `clouds`.
	Clouds  []Kind
	Schemes []Scheme
}

// Kind is one kind of filter, function, auth or source.
type Kind struct {
	// Name is the key for the kind: on a route for a filter (`cors:`), in a function or an auth for its kind (`run:`,
	// `jwt:`).
	Name    string
	Summary string // one line for schema, editors and `--help`
	// Order places filters on a route in the fixed order; a smaller one is further out.
	Order int
	// Place returns the order of a filter whose place depends on its config; nil: Order.
	Place func(config any) int
	// Split splits a config whose parts have different places, one config for each place; nil: it has one place.
	// Together the parts do what the whole does.
	Split func(config any) []any
	// Identifies says that a filter recognises callers, so that expressions behind it may read them.
	Identifies bool
	// PerBackend says that a filter may also stand on one of a route's backends. Guards may not, so that no variant is
	// reached past them.
	PerBackend bool
	// Schemes are the schemes by which routes name functions of this kind.
	Schemes []string
	// New returns a pointer to a fresh config struct with all defaults set. Load decodes the node into it (doc.Decode).
	// A filter's node is the value under its key; the node of a function or an auth is the whole element, including the
	// key of its kind.
	New func() any
}

// Expressive is implemented by the config of a filter or a way of auth that has expressions. This package checks all of
// them in the same way and reports their places: names and types, what they read, and whether the route captures it.
// The filter or way only compiles them.
type Expressive interface{ Expressions() []Expression }

// Rehearsed is implemented by the config of a filter that recognises callers, if it supports a dry run. In a dry run, a
// caller that it would refuse passes without an identity.
type Rehearsed interface{ Rehearses() bool }

// Certified is implemented by the config of a way of auth that recognises callers by the client certificate of their
// connection.
type Certified interface{ Certified() }

// Reaching is implemented by the config of a function or filter that makes calls elsewhere in the gateway's own name.
// Reaches returns what it calls and in which role, each in the form in which a group's allow names it:
// "lambda:orders@eu-west-1", "role:arn:...", "https://host:port".
type Reaching interface{ Reaches() []string }

// ReachingAt is implemented instead by the config of a filter for which that depends on the backend that it precedes.
// host is the host of a backend that is a URL, with the port if the URL has one, else "".
type ReachingAt interface{ ReachesAt(host string) []string }

// Expression is an expression in the config of a filter or a way of auth.
type Expression struct {
	*Expr

	Field string // what messages call it: "allow", "X-User"
	Want  expr.Type
	Scope expr.Scope // 0: expr.Request
	// Guards says that the expression decides whether a request passes. On a route that authenticates nobody, one that
	// reads auth would decide the same for everybody.
	Guards bool
	// Tried says that its decision is a dry run, so that it refuses nobody.
	Tried bool
	// Key says that it is the key that requests are counted by; an empty key is refused.
	Key bool
	// Bodies says that it may read bodies; its owner waits for them.
	Bodies bool
}

// place returns the order of one filter.
func (k Kind) place(config any) int {
	if k.Place != nil {
		return k.Place(config)
	}
	return k.Order
}

// pieces returns the configs that a filter's config is split into.
func (k Kind) pieces(config any) []any {
	if k.Split != nil {
		return k.Split(config)
	}
	return []any{config}
}

// Scheme is one way of writing a backend.
type Scheme struct {
	Name    string
	Summary string
	Example string // a complete one: "k8s:shop/catalog:http"
	// Check returns what is wrong with the rest of a reference, in words for its writer.
	Check func(ref Ref) error
	// Inline returns the config of the function that such a reference means if the config has no function of that name;
	// nil: each function must be declared. The error is why the reference means none.
	Inline func(ref Ref) (config any, err error)
	// Missing is why a known scheme cannot be used in this build; "": it can.
	Missing string
}
