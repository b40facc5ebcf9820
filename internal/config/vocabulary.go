package config

// Vocabulary is what a config may name beyond this package: the kinds of
// filters, functions and schemes that the program was built with. Load reads
// their parts into their own structs, and suggestions and schema know them.
type Vocabulary struct {
	Filters   []Kind
	Functions []Kind
	Schemes   []Scheme
}

// Kind is one kind of filter or function.
type Kind struct {
	// Name is the key under which it stands: on a route for a filter
	// (`cors:`), in a function for its kind (`run:`).
	Name    string
	Summary string // one line for schema, editors and `--help`
	// Order places filters on a route in the fixed order, smaller is outer.
	Order int
	// PerBackend tells that a filter may also stand on one of a route's backends.
	// Guards may not: no variant is reached past them.
	PerBackend bool
	// New gives a pointer to a fresh config struct with all defaults set. Load
	// decodes the node into it (doc.Decode). A filter's node is the value under
	// its key; a function's is the whole function, its key included.
	New func() any
}

// Scheme is one way to write a backend.
type Scheme struct {
	Name    string
	Summary string
	Example string // a complete one: "k8s:shop/catalog:http"
	// Check tells what is wrong with the rest of a reference, in words for its writer.
	Check func(ref Ref) error
	// Missing is why a known scheme cannot be used in this build, "" where it can.
	Missing string
}
