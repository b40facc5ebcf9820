package config

import (
	"time"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// Composition is a backend made of calls to other backends. Which step waits for
// which is not written: it is what their expressions read (see PlanOf).
type Composition struct {
	// Name is what `compose:NAME` refers to, and where it is a plain name a name
	// alone. One that stands on a route is called as the route, see inlineName.
	Name   string
	Group  string
	Origin Origin
	Steps  []Step // in the order in which they were written
	Return Return
	// Timing adds Server-Timing to the response: how long each step took.
	Timing bool
	// BodyBytes bounds the bodies of all steps of one request together, sent and received.
	BodyBytes int64
}

// Step is one call in a composition. Nothing of the client's request reaches its
// backend but what is written here, the request's id and its trace context.
type Step struct {
	Name    string
	Origin  Origin
	Ref     Ref
	Path    PathTemplate
	Method  string
	Query   Fields // one that is computed to '' is left out
	Headers Fields // as Query
	Body    *Tree  // sent as JSON; nil for none
	When    *Expr  // the step is skipped where it is false; nil: never
	// Each is a list for whose elements the step is called, one call each; they are
	// the variable item of its other expressions. nil: one call.
	Each     *Expr
	Parallel int // calls at once, with Each
	// Timeout is of one call with all its tries; NoTimeout for none, 0 for the total of
	// the service that is called, and where it has none DefaultStepTimeout.
	Timeout time.Duration
	Retry   *Retry // nil: as the backend's own
	// Statuses are the first that fits; where none does 2xx is StatusOK, all else
	// StatusFail.
	Statuses []StatusRule
	// Else stands for the body where the step fails or is skipped, with Each for
	// that of the call that fails. nil: a failure is that of the whole
	// composition, and the body of a skipped step is null.
	Else      *Tree
	BodyBytes int64 // the largest body of one call's response
	// Cache keeps what the step gave for calls that send the same; nil: nothing is kept.
	Cache   *StepCache
	Filters []Filter // adapters between the step and its backend
	// Undo is the call that takes the step back where the composition fails after it; nil: nothing
	// does. It has the step's name and none of When, Each, Else and Undo. Its expressions read of
	// the step itself what the call gave that is taken back.
	Undo *Step
}

// Calls are the steps with the calls that take them back, each behind its step.
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

// StepCache is how long and for whom the results of a step are kept.
type StepCache struct {
	TTL time.Duration
	// Shared lets a caller have what was made for another one.
	Shared bool
	Bytes  int64 // of memory, for all results of the step
	// Renew asks the backend all the same where it is true, and keeps what that gives; nil: never.
	Renew *Expr
	Pos   doc.Pos
}

// StatusRule says what the statuses From to To of a step mean.
type StatusRule struct {
	From, To int
	Do       StatusAction
}

// StatusAction is what a status means.
type StatusAction string

// The actions.
const (
	StatusOK   StatusAction = "ok"   // the response is the step's result
	StatusFail StatusAction = "fail" // the step has failed
	// StatusPass ends the composition: the client gets this response.
	StatusPass StatusAction = "pass"
)

// Return is the response of a composition.
type Return struct {
	Status     int   // 0: 200, where StatusExpr is nil
	StatusExpr *Expr // gives the status
	Headers    Fields
	Body       *Tree // JSON; nil for none
	Pos        doc.Pos
}

// Tree is a JSON value whose leaves may be computed.
type Tree struct {
	Kind    TreeKind
	Expr    *Expr        // of TreeExpr
	Literal string       // of TreeLiteral: its JSON text, without blanks around it
	Items   []Tree       // of TreeList
	Members []TreeMember // of TreeObject, in the order in which they were written
	Pos     doc.Pos
}

// TreeKind is the kind of a Tree.
type TreeKind uint8

// The kinds. The zero Tree is one that could not be read.
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
	DefaultUndoAttempts    = 2    // further tries of a call that takes a step back
	MaxElements            = 1000 // calls of one step with Each
	maxSteps               = 64
	maxParallel            = 100
	maxBodyBytes           = 64 << 20
	minCacheBytes          = 64 << 10
	maxCacheBytes          = 1 << 30
	maxCacheTTL            = 24 * time.Hour
	composeScheme          = "compose"
)

// ComposeScheme is how a composition is named with a scheme: compose:NAME.
func ComposeScheme() Scheme {
	return Scheme{Name: composeScheme, Summary: "a composition of this config", Example: "compose:home"}
}
