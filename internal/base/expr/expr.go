// Package expr is CEL as Weir speaks it: expressions over a request, checked
// when a config is loaded and run against an exchange. See the design's
// sections 3 (names) and 3.3 (numbers).
package expr

import (
	"net/http"
)

// Scope says which names an expression may use; scopes are or-ed.
type Scope uint8

// The scopes. Request holds request, path, query, host, client and auth.
const (
	Request  Scope = 1 << iota
	Response       // response.status, response.headers, response.body
	Steps          // steps.NAME.status, .headers, .body of a composition
)

// Type is what an expression must give.
type Type uint8

// The types.
const (
	Any Type = iota
	Bool
	String
)

// Input is what an expression is run over. Request must belong to an exchange.
type Input struct {
	Request  *http.Request
	Response *http.Response
	// RequestBody and ResponseBody give the decoded JSON bodies where the
	// expression reads them (see Program.Reads); nil otherwise.
	RequestBody  func() (any, error)
	ResponseBody func() (any, error)
	// Steps gives a finished step of a composition.
	Steps func(name string) (StepResult, bool)
}

// StepResult is what a composition's step gave.
type StepResult struct {
	Status int
	Header http.Header
	Body   any
}
