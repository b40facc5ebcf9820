package exchange

// Trace is the span of an exchange in a distributed trace (W3C Trace Context).
type Trace interface {
	// ID is the trace's id in hexadecimal.
	ID() string
	// Call begins a child span for one call to a backend, and writes into the call's head what tells the backend about
	// it. end must be called once.
	Call(c Call) (end func(Attempt))
	// Step begins a child span for a part of the work that is not itself a call: a step of a composition, whose name is
	// of. The calls that are made for it are reported to below. end must be called once.
	Step(name, of string) (below Trace, end func(Settled))
}

// Settled is what became of a step, as a trace reports it.
type Settled struct {
	Outcome  string // one of the constants below
	Err      error  // why it failed, also where something was used in its place; nil: it did not fail
	Cached   bool   // for at least part of it, no backend was asked
	Elements int    // of the list for whose elements it called; 0 if there is no list
}

// Call is one call to a backend, as a trace reports it.
type Call struct {
	Method  string
	Backend string // its name in the config
	Address string // host:port, "" if there is none
	URL     string // without its query, which may hold secrets; "" if there is none
	Again   int    // how many attempts there were before
	// Head is the request's, which must belong to this call alone.
	Head Head
	// XRay, if not nil, is given the same in the form of AWS X-Ray.
	XRay func(header string)
}

// The outcomes of a step.
const (
	StepOK        = "ok"
	StepSkipped   = "skipped"   // its condition does not hold
	StepElse      = "else"      // it failed, at least in part, and its else was used for that part
	StepFailed    = "failed"    // and so the whole composition fails
	StepPassed    = "passed"    // its response is the answer
	StepCancelled = "cancelled" // nothing waits for it any more
)
