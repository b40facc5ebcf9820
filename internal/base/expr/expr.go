// Package expr is CEL as Weir speaks it: expressions over a request, checked
// when a config is loaded and run against an exchange.
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
// A header, cookie, query value or parameter that is not there is the empty string,
// never an error; has(request.headers.x) and 'x' in query tell whether it is
// there. A query that servers read differently (httpx.CheckQuery) is an error to
// read under query, for the backend may see other parameters; the error is a
// *fault.Fault. request.query is its text, whatever it means. A header that came several times is its values joined by ", " (RFC 9110
// section 5.3), so that no second line hides behind the first. Without an
// identity auth.sub is empty and auth.has() is false. host is a string, so
// captures of a host pattern are found under path too.
//
// # Functions
//
// Those of CEL's standard library, with its macros has, all, exists,
// exists_one, map and filter, and these extensions. All of them are pure:
//
//	strings   charAt format indexOf join lastIndexOf lowerAscii quote replace
//	          reverse split substring trim upperAscii
//	base64    base64.encode base64.decode
//	math      math.greatest math.least math.abs math.ceil math.floor math.round
//	          math.trunc math.sign math.sqrt math.isNaN and the like
//	lists     distinct flatten hasAll hasAny hasExactly hasOnly lists.range
//	          reverse slice sort sortBy
//
// and Weir's own
//
//	auth.has(scope)                          true where the caller has this whole scope
//	cidr(prefix).contains(address)           cidr takes one prefix or a list of them
//	number(text)                             the JSON number that a text holds, with its digits
//
// An address or prefix that is none is an error. Regular expressions are RE2.
//
// # Numbers
//
// JSON integers are CEL ints, all other JSON numbers doubles, and the two mix in
// arithmetic and comparison. A number that is only passed on keeps its own text.
//
// # Limits
//
// A source has at most 16 KiB, an evaluation costs at most a million CEL units and
// gives at most 8 MiB; what is larger is an error. Every error of an
// evaluation is for the caller to deny.
package expr

import (
	"net/http"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// Scope says which names an expression may use; scopes are or-ed.
type Scope uint8

// The scopes. Request holds request, path, query, host, client and auth.
const (
	Request  Scope = 1 << iota
	Response       // response.status, response.headers, response.cookies, response.body
	Steps          // steps.NAME.status, .headers, .body, .text of a composition
	Item           // item, the element for which a step of a composition is called
)

// Type is what an expression must give.
type Type uint8

// The types. String is any text, number or truth value, for they all have a text;
// Int and List are looked at again when a dynamic value is there.
const (
	Any Type = iota
	Bool
	String
	Int
	List
)

// Input is what an expression is run over. Request must belong to an exchange.
// It is only read and may be used again.
type Input struct {
	Request  *http.Request
	Response *http.Response
	// RequestBody and ResponseBody give the decoded JSON bodies where the
	// expression reads them (see Program.Reads); nil otherwise. A body is a
	// jsonx.Value, or what encoding/json would give with UseNumber.
	RequestBody  func() (any, error)
	ResponseBody func() (any, error)
	// Steps gives a finished step of a composition.
	Steps func(name string) (StepResult, bool)
	// Item is the variable item, as a body in Input.
	Item any
}

// StepResult is what a composition's step gave; Body as in Input. Where it has a
// value that no backend gave, Status is 0 and there are no fields.
type StepResult struct {
	Status int
	Head   exchange.Head // nil where there is none
	Body   any
	Text   string // the body as it came
}

// Reads tells at load time what an expression will ask for. Lists are sorted
// and name each thing once.
type Reads struct {
	RequestBody  bool
	ResponseBody bool
	Query        bool     // query or request.query
	Client       bool     // what the client itself has written: request, path, query or host
	Auth         bool     // who is calling
	Peer         bool     // client: the address and scheme of who has sent the request
	Item         bool     // the element for which a step is called
	Steps        []string // of a composition: the edges of its graph
	// StepHeads, StepBodies and StepTexts are those of Steps whose status or
	// headers, body and text are read.
	StepHeads, StepBodies, StepTexts []string
	// Params are the names of path.NAME, which the route's pattern has to capture.
	// Those that has(path.NAME) or 'NAME' in path asks for are not among them.
	Params []string
}
