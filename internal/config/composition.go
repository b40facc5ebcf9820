package config

import (
	"time"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// Composition is a backend made of calls to other backends. The config does not say which step waits for which: that
// follows from what their expressions read (see PlanOf).
type Composition struct {
	// Name is what `compose:NAME` refers to; a plain name also works alone. A composition on a route has the route's
	// name, see inlineName.
	Name   string
	Group  string
	Origin Origin
	Steps  []Step // in the order in which they were written
	Return Return
	// Timing adds a Server-Timing header that says how long each step took.
	Timing bool
	// BodyBytes bounds the bodies of all steps of one request together, sent and received.
	BodyBytes int64
}

// Step is one call in a composition. Nothing of the client's request reaches the step's backend except what is written
// here, the request's id and its trace context.
type Step struct {
	Name    string
	Origin  Origin
	Ref     Ref
	Path    PathTemplate
	Method  string
	Query   Fields // a computed value of '' is left out
	Headers Fields // as Query
	Body    *Tree  // sent as JSON; nil for none
	When    *Expr  // false skips the step; nil: it always runs
	// Each is a list. The step is called once for each of its elements, which the other expressions read as the
	// variable item. nil: one call.
	Each     *Expr
	Parallel int // calls at once, with Each
	// Timeout bounds one call with all its tries. NoTimeout is no bound; 0 is the total of the called service, or
	// DefaultStepTimeout if the service has none.
	Timeout time.Duration
	Retry   *Retry // nil: the backend's own
	// Statuses are tried in order and the first rule that fits counts. If none fits, 2xx is StatusOK and everything
	// else StatusFail.
	Statuses []StatusRule
	// Else replaces the body if the step fails or is skipped; with Each, it replaces the body of the call that fails.
	// nil: a failure fails the whole composition, and the body of a skipped step is null.
	Else      *Tree
	BodyBytes int64 // the largest response body of one call
	// Cache keeps results for calls that send the same; nil: nothing is kept.
	Cache   *StepCache
	Filters []Filter // adapters between the step and its backend
	// Undo is the call that undoes the step if the composition fails after it; nil: there is none. It has the step's
	// name and no When, Each, Else or Undo. Its expressions read, as the result of the step itself, that of the call
	// being undone.
	Undo *Step
}

// Calls returns the steps and their undo calls, each undo right after its step.
func (m *Composition) Calls() []*Step {
	list := make([]*Step, 0, len(m.Steps))
	for i := range m.Steps {
		list = append(list, &m.Steps[i])
		if undo := m.Steps[i].Undo; undo != nil {
			list = append(list, undo)
		}
	}
	return list
}

// StepCache says for how long, and for which callers, the results of a step are kept.
type StepCache struct {
	TTL time.Duration
	// Shared lets a caller get a result that was made for another caller.
	Shared bool
	Bytes  int64 // memory for all results of the step
	// Renew, if true, makes the step ask the backend anyway and keep the new result; nil: never.
	Renew *Expr
	Pos   doc.Pos
}

// StatusRule says what the statuses From to To mean for a step.
type StatusRule struct {
	From, To int
	Do       StatusAction
}

// StatusAction is the meaning of a status.
type StatusAction string

// The actions.
const (
	StatusOK   StatusAction = "ok"   // the response is the step's result
	StatusFail StatusAction = "fail" // the step fails
	// StatusPass ends the composition: the client gets this response.
	StatusPass StatusAction = "pass"
)

// Return is the response of a composition.
type Return struct {
	Status     int   // 0: 200, if StatusExpr is nil
	StatusExpr *Expr // computes the status
	Headers    Fields
	Body       *Tree // JSON; nil for none
	Pos        doc.Pos
}

// Tree is a JSON value whose leaves may be computed.
type Tree struct {
	Kind    TreeKind
	Expr    *Expr        // of TreeExpr
	Literal string       // of TreeLiteral: its JSON text, without surrounding spaces
	Items   []Tree       // of TreeList
	Members []TreeMember // of TreeObject, in the order in which they were written
	Pos     doc.Pos
}

// TreeKind is the kind of a Tree.
type TreeKind uint8

// The kinds. The zero Tree could not be read.
const (
	TreeExpr TreeKind = iota + 1
	TreeLiteral
	TreeList
	TreeObject
)

// TreeMember is a member of an object.
type TreeMember struct {
	Name  string
	Value Tree
}

// The defaults and bounds of compositions.
const (
	DefaultStepTimeout     = 30 * time.Second
	DefaultStepBody        = 1 << 20
	DefaultCompositionBody = 8 << 20
	DefaultParallel        = 8
	DefaultCacheBytes      = 8 << 20
	DefaultUndoAttempts    = 2    // further tries of an undo call
	MaxElements            = 1000 // calls of one step with Each
	maxSteps               = 64
	maxParallel            = 100
	maxBodyBytes           = 64 << 20
	minCacheBytes          = 64 << 10
	maxCacheBytes          = 1 << 30
	maxCacheTTL            = 24 * time.Hour
	composeScheme          = "compose"
)

// ComposeScheme is the scheme of references to compositions: compose:NAME.
func ComposeScheme() Scheme {
	return Scheme{Name: composeScheme, Summary: "a composition of this config", Example: "compose:home"}
}
