package exchange

// Trace is the span of an exchange in a distributed trace (W3C Trace Context).
type Trace interface {
	// ID is the trace's id in hexadecimal.
	ID() string
	// Call begins a span below, of one call to a backend, and writes into the call's
	// head what tells the backend of it. end must be called once.
	Call(c Call) (end func(Attempt))
}

// Call is one call to a backend as a trace tells of it.
type Call struct {
	Method  string
	Backend string // its name in the config
	Address string // host:port, "" where there is none
	URL     string // without its query, which may hold secrets; "" where there is none
	Again   int    // how many attempts there were before
	// Head is the request's, which must belong to this call alone.
	Head Head
	// XRay, where it is not nil, is given the same in the form of AWS X-Ray.
	XRay func(header string)
}
