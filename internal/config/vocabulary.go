package config

import "github.com/weir-gateway/weir/internal/base/expr"

// Vocabulary is what a config may name beyond this package: the kinds of
// filters, functions and auth and the schemes that the program was built with. Load reads
// their parts into their own structs, and suggestions and schema know them.
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
	// Name is the key under which it stands: on a route for a filter
	// (`cors:`), in a function or an auth for its kind (`run:`, `jwt:`).
	Name    string
	Summary string // one line for schema, editors and `--help`
	// Order places filters on a route in the fixed order, smaller is outer.
	Order int
	// Place is the order of a filter whose place depends on its config; nil: Order.
	Place func(config any) int
	// Split parts a config whose pieces have different places into one for each
	// place; nil: there is none. Together the pieces do what the whole does.
	Split func(config any) []any
	// Identifies tells that a filter says who is calling, so that expressions
	// behind it may ask.
	Identifies bool
	// PerBackend tells that a filter may also stand on one of a route's backends.
	// Guards may not: no variant is reached past them.
	PerBackend bool
	// Schemes are those by which routes name functions of this kind.
	Schemes []string
	// New gives a pointer to a fresh config struct with all defaults set. Load
	// decodes the node into it (doc.Decode). A filter's node is the value under
	// its key; that of a function or an auth is the whole of it, its key included.
	New func() any
}

// Expressive is implemented by the config of a filter or a way of auth that holds
// expressions. They are checked here, for all in the same way and with their place: their
// names and types, what they read, and what of it the route captures. Who holds them
// only compiles them.
type Expressive interface{ Expressions() []Expression }

// Rehearsed is implemented by the config of a filter that says who is calling, if it may be
// tried out: then whom it would refuse passes, as nobody.
type Rehearsed interface{ Rehearses() bool }

// Certified is implemented by the config of a way of auth that recognises callers by the
// certificate that their connection has shown.
type Certified interface{ Certified() }

// Reaching is implemented by the config of a function or a filter that calls elsewhere in the
// gateway's own name, with what is called and in which role, each in the form in which a
// group is allowed it: "lambda:orders@eu-west-1", "role:arn:...", "https://host:port".
type Reaching interface{ Reaches() []string }

// ReachingAt is implemented instead by the config of a filter for which that depends on the
// backend before which it stands: host is that of a backend which is a URL, with its port
// where the URL has one, else "".
type ReachingAt interface{ ReachesAt(host string) []string }

// Expression is an expression in the config of a filter or a way of auth.
type Expression struct {
	*Expr

	Field string // what messages call it: "allow", "X-User"
	Want  expr.Type
	Scope expr.Scope // 0: expr.Request
	// Guards tells that it decides whether a request passes. One that reads auth
	// would decide the same for everybody on a route that authenticates nobody.
	Guards bool
	// Tried tells that what it decides is only tried out, so that nobody is refused by it.
	Tried bool
	// Key tells that requests are counted by it, and refused where it is empty.
	Key bool
	// Bodies tells that it may read bodies: who holds it waits for them.
	Bodies bool
}

// place is the order of one filter.
func (k Kind) place(config any) int {
	if k.Place != nil {
		return k.Place(config)
	}
	return k.Order
}

// pieces are the configs that a filter's config is split into.
func (k Kind) pieces(config any) []any {
	if k.Split != nil {
		return k.Split(config)
	}
	return []any{config}
}

// Scheme is one way to write a backend.
type Scheme struct {
	Name    string
	Summary string
	Example string // a complete one: "k8s:shop/catalog:http"
	// Check tells what is wrong with the rest of a reference, in words for its writer.
	Check func(ref Ref) error
	// Inline gives the config of a function that such a reference means where no function of
	// the config has that name; nil where each must be declared. The error is why it means none.
	Inline func(ref Ref) (config any, err error)
	// Missing is why a known scheme cannot be used in this build, "" where it can.
	Missing string
}
