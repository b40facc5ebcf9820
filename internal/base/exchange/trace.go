package exchange

// Trace is the span of an exchange in a distributed trace (W3C Trace Context).
type Trace interface {
	// ID returns the trace's id in hexadecimal.
	ID() string
	// Call begins a child span, of one call to a backend, and writes into the call's head what tells the backend about
	// it. end must be called once.
	Call(c Call) (end func(Attempt))
	// Step begins a child span, of a part of the work that is not a call itself: the step called name of the
	// composition called of. The calls that are made for it are reported to below. end must be called once.
	Step(name, of string) (below Trace, end func(Settled))
}

// Settled is the result of a step as a trace reports it.
type Settled struct {
	Outcome  string // one of the constants below
	Err      error  // why it failed, even if something stands in for it; nil: it did not
	Cached   bool   // at least a part was answered without asking a backend
	Elements int    // of the list for whose elements it made calls; 0 if there is no list
}

// Call is one call to a backend as a trace reports it.
type Call struct {
	Method  string
	Backend string // its name in the config
	Address string // host:port, "" if there is none
	URL     string // without its query, which may hold secrets; "" if there is none
	Again   int    // how many attempts there were before
	// Head is the request's, and must belong to this call alone.
	Head Head
	// XRay, if not nil, is called with the same information in the form of AWS X-Ray.
	XRay func(header string)
}

// The outcomes of a step.
const (
	StepOK        = "ok"
	StepSkipped   = "skipped"   // its condition does not hold
	StepElse      = "else"      // it failed, at least in part, and its else stands in for that
	StepFailed    = "failed"    // and the whole composition with it
	StepPassed    = "passed"    // its response is the answer
	StepCancelled = "cancelled" // nothing waits for it any more
)
