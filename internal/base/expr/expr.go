// Package expr is Weir's version of CEL: expressions over a request, checked when a config is loaded and evaluated
// against an exchange.
//
// # Names
//
//	request.method  .path  .query  .host  .scheme  .id      strings
//	request.headers['x']  request.cookies['x']              strings; headers in any case
//	request.body                                            the JSON body
//	path.NAME or path['NAME']                               what the route's host and path captured
//	query.NAME or query['NAME']                             the first value, decoded
//	host                                                    the host as routing sees it
//	client.ip  client.scheme                                strings
//	auth.sub  .iss  .id  .method                            strings
//	auth.scopes  auth.claims  auth.has('scope')             list, map, whole scopes
//	response.status  .headers  .cookies  .body              scope Response
//	steps.NAME.status  .headers  .body  .text               scope Steps
//	item                                                    scope Item
//
// A header, cookie, query value or parameter that is missing is the empty string, never an error.
// has(request.headers.x) and 'x' in query tell whether it is present. If servers interpret a query differently
// (httpx.CheckQuery), reading it under query is an error, because the backend may see other parameters. The error is a
// *fault.Fault. request.query is the query's text, whatever it means. The value of a header that came several times is
// its values joined by ", " (RFC 9110 section 5.3), so that no second line hides behind the first. Without an identity,
// auth.sub is empty and auth.has() is false. host is a string, so captures of a host pattern are also found under path.
//
// # Functions
//
// The functions of CEL's standard library with its macros has, all, exists, exists_one, map and filter, and these
// extensions. All of them are pure:
//
//	strings   charAt format indexOf join lastIndexOf lowerAscii quote replace
//	          reverse split substring trim upperAscii
//	base64    base64.encode base64.decode
//	math      math.greatest math.least math.abs math.ceil math.floor math.round
//	          math.trunc math.sign math.sqrt math.isNaN and the like
//	lists     distinct flatten hasAll hasAny hasExactly hasOnly lists.range
//	          reverse slice sort sortBy
//
// and Weir's own:
//
//	auth.has(scope)                          true where the caller has this whole scope
//	cidr(prefix).contains(address)           cidr takes one prefix or a list of them
//	number(text)                             the JSON number that a text holds, with its digits
//
// A text that is not a valid address or prefix is an error. Regular expressions are RE2.
//
// # Numbers
//
// JSON integers are CEL ints, and all other JSON numbers are doubles. The two can be mixed in arithmetic and
// comparisons. A number that is only passed on keeps its own text.
//
// # Limits
//
// A source has at most 16 KiB. An evaluation costs at most a million CEL units and returns at most 8 MiB. Anything
// larger is an error. The caller must treat every error of an evaluation as a denial.
package expr

import (
	"net/http"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// Scope says which names an expression may use. Scopes can be combined with |.
type Scope uint8

// The scopes. Request holds request, path, query, host, client and auth.
const (
	Request  Scope = 1 << iota
	Response       // response.status, response.headers, response.cookies, response.body
	Steps          // steps.NAME.status, .headers, .body, .text of a composition
	Item           // item, the element for which a step of a composition is called
)

// Type is the type that an expression must have.
type Type uint8

// The types. String allows any text, number or truth value, because each of them has a text. For dynamic values, Int
// and List are checked at run time.
const (
	Any Type = iota
	Bool
	String
	Int
	List
)

// Input is the data that an expression is evaluated over. Request must belong to an exchange. An evaluation only reads
// an Input, which may be used again.
type Input struct {
	Request  *http.Request
	Response *http.Response
	// RequestBody and ResponseBody return the decoded JSON bodies if the expression reads them (see Program.Reads);
	// otherwise they are nil. A body is a jsonx.Value, or what encoding/json would decode with UseNumber.
	RequestBody  func() (any, error)
	ResponseBody func() (any, error)
	// Steps returns the result of a finished step of a composition.
	Steps func(name string) (StepResult, bool)
	// Item is the variable item, in the same form as a body.
	Item any
}

// StepResult is the result of a composition's step. Body has the same form as in Input. If the value did not come from
// a backend, Status is 0 and there are no fields.
type StepResult struct {
	Status int
	Head   exchange.Head // nil if there is none
	Body   any
	Text   string // the body as received
}

// Reads tells at load time what an expression will read. Lists are sorted and have no duplicates.
type Reads struct {
	RequestBody  bool
	ResponseBody bool
	Query        bool     // query or request.query
	Client       bool     // what the client itself has written: request, path, query or host
	Auth         bool     // the caller's identity
	Peer         bool     // client: the address and scheme of the sender of the request
	Item         bool     // the element for which a step is called
	Steps        []string // of a composition: the edges of its graph
	// StepHeads, StepBodies and StepTexts are those of Steps whose status or headers, whose body and whose text are
	// read.
	StepHeads, StepBodies, StepTexts []string
	// Params are the names used as path.NAME, which the route's pattern must capture. Names that are tested with
	// has(path.NAME) or 'NAME' in path are not among them.
	Params []string
}
