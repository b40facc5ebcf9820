package exchange

// Trace is the span of an exchange in a distributed trace (W3C Trace Context).
type Trace interface {
	// ID is the trace's id in hexadecimal.
	ID() string
	// Call begins a span below, of one call to a backend, and writes into the call's
	// head what tells the backend of it. end must be called once.
	Call(c Call) (end func(Attempt))
	// Step begins a span below, of a part of the work that is itself no call: a step of the
	// composition of that name. The calls that are made for it are told to below. end must
	// be called once.
	Step(name, of string) (below Trace, end func(Settled))
}

// Settled is what has become of a step as a trace tells of it.
type Settled struct {
	Outcome  string // one of those below
	Err      error  // why it failed, also where something stands for it; nil: it did not
	Cached   bool   // at least in part no backend was asked
	Elements int    // of the list for whose elements it called; 0 also without one
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

// What becomes of a step.
const (
	StepOK        = "ok"
	StepSkipped   = "skipped"   // its condition does not hold
	StepElse      = "else"      // it failed, at least in part, and its else stands for that
	StepFailed    = "failed"    // and with it the whole
	StepPassed    = "passed"    // its response is the answer
	StepCancelled = "cancelled" // nobody waits for it any more
)
