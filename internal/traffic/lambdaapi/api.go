// Package lambdaapi serves the API of AWS Lambda for functions that this gateway runs. AWS's SDKs, its command line and
// tools built on them work against it unchanged.
//
// With keys, a client may call it if it signs with one of them (package sigv4). Without keys, any client on this
// machine may, but no web page. Errors are AWS's, in status, x-amzn-ErrorType and body, because AWS's clients decide by
// them what to do.
//
//   - api.go: the operations, and what all of them begin with.
//   - guard.go: which clients may call it.
//   - held.go: what is kept in memory, in total.
//   - name.go: the names of a function.
//   - invoke.go: an invocation that waits for the whole answer.
//   - events.go: an invocation whose answer the client does not wait for.
//   - memory.go: such events when there is no queue.
//   - stream.go: an invocation whose answer is streamed.
//   - describe.go: the list of functions and their descriptions.
//   - connections.go: the operations by which functions reach WebSockets.
//   - failure.go: how a function's failure is reported, and the API's own errors.
package lambdaapi

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/queue"
	"github.com/weir-gateway/weir/internal/base/sigv4"
	"github.com/weir-gateway/weir/internal/base/sockets"
	"github.com/weir-gateway/weir/internal/function"
)

// Options make an API.
type Options struct {
	// Functions lists the functions that it serves.
	Functions []Function
	// Region and Account stand in the ARNs that it returns. In ARNs that it receives they are not checked.
	Region, Account string
	// Aliases are the qualifiers that, beside $LATEST, mean the only version.
	Aliases []string
	// Verifier checks signatures; nil: there are no keys, and only clients on this machine may call.
	Verifier *sigv4.Verifier
	// ConnectionsVerifier checks signatures for the operations of WebSockets, with the same keys.
	ConnectionsVerifier *sigv4.Verifier
	// Sockets holds the WebSockets that these operations reach; nil: none.
	Sockets *sockets.Hub
	// Queue keeps events until they are processed; nil: they are kept in memory.
	Queue *queue.Queue
	// Held is what this API, its predecessors and its successors keep in memory; nil in an API that is never called.
	Held *Held
	Log  *slog.Logger
}

// Function is one function of the API.
type Function struct {
	Name    string // as clients and routes call it
	Backend function.Backend
}

// API serves the operations. It is safe for concurrent use.
type API struct {
	options   Options
	functions map[string]Function
}

// New makes the API.
func New(o Options) *API {
	a := &API{options: o, functions: make(map[string]Function, len(o.Functions))}
	for _, f := range o.Functions {
		a.functions[f.Name] = f
	}
	a.options.Functions = slices.SortedFunc(slices.Values(o.Functions), func(x, y Function) int { return strings.Compare(x.Name, y.Name) })
	return a
}

// Operation is one of the API's operations, as a route.
type Operation struct {
	Name     string
	Method   string   // "" for any
	Patterns []string // in the grammar of routes
	Handler  http.Handler
}

// Operations returns all operations; the last one answers requests for unknown operations. Their handlers are reached
// through exchange.Begin.
func (a *API) Operations() []Operation {
	return slices.Concat(a.connectionOperations(), a.functionOperations())
}

func (a *API) functionOperations() []Operation {
	const functions, one = "/2015-03-31/functions", "/2015-03-31/functions/{" + nameParameter + "}"
	return []Operation{
		{"Invoke", http.MethodPost, []string{one + "/invocations"}, a.operation(maxPayload, a.invoke)},
		{
			"InvokeWithResponseStream", http.MethodPost,
			[]string{"/2021-11-15/functions/{" + nameParameter + "}/response-streaming-invocations"}, a.operation(maxPayload, a.invokeStreaming),
		},
		{"ListFunctions", http.MethodGet, []string{functions, functions + "/"}, a.operation(0, a.list)},
		{"GetFunction", http.MethodGet, []string{one}, a.operation(0, a.get)},
		{"GetFunctionConfiguration", http.MethodGet, []string{one + "/configuration"}, a.operation(0, a.configuration)},
		{"none", "", []string{"/**"}, a.operation(maxPayload, unknown)},
	}
}

// nameParameter is the name of the path parameter that holds a function's name.
const nameParameter = "FunctionName"

// call is one request. Its operation runs once the caller is admitted and the body is read.
type call struct {
	w    *exchange.Writer
	r    *http.Request
	x    *exchange.Exchange
	body []byte
	// qualifier is the qualifier by which a function was found; "": none.
	qualifier string
	held      *Held
	size      int // of the body, as far as it is held
}

// operation returns the handler of an operation with bodies up to limit.
func (a *API) operation(limit int64, do func(*call) error) http.Handler {
	return a.operationFor(a.options.Verifier, limit, do)
}

// operationFor returns the handler of an operation whose signatures are checked by verifier.
func (a *API) operationFor(verifier *sigv4.Verifier, limit int64, do func(*call) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{w: exchange.WriterOf(w), r: r, x: exchange.Of(r), held: a.options.Held}
		defer func() { c.held.leave(c.size) }()
		c.x.ID = invocationID(c.x.RequestID())
		c.set("X-Amzn-RequestId", c.x.ID)
		err := a.admit(c, verifier, limit)
		if err == nil {
			err = do(c)
		}
		if err != nil {
			a.fail(c, err)
		}
	})
}

func (c *call) set(name, value string) { c.w.Head().Set(name, value) }

// answer writes a whole answer; a nil body is no body.
func (c *call) answer(status int, contentType string, body []byte) {
	if body != nil {
		c.set("Content-Type", contentType)
	}
	c.setLength(len(body), status)
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // the client may be gone, and nothing else needs to know
}

func unknown(c *call) error {
	return unknownOperation.about("Weir serves Invoke, InvokeWithResponseStream, ListFunctions, GetFunction and GetFunctionConfiguration of this API, not %s %s.",
		c.r.Method, c.x.Path)
}

// invocationID returns the exchange's id, which logs and problems show too, in the form of AWS's ids. An id of any
// other form is returned as it is.
func invocationID(id string) string {
	const plain = 32
	if len(id) != plain || strings.Trim(id, "0123456789abcdef") != "" {
		return id
	}
	return id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
}
