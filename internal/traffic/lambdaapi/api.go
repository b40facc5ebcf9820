// Package lambdaapi serves the API of AWS Lambda for functions that this gateway
// runs, so that AWS's SDKs, its command line and whatever is built on them work
// against it as they are.
//
// Who may ask: with keys, whoever signs with one of them (package sigv4). Without,
// whoever is on this machine, and no web page. Errors are AWS's, by status,
// x-amzn-ErrorType and body, for its clients decide by them what to do.
//
//   - api.go: the operations, and what all of them begin with.
//   - guard.go: who may ask.
//   - held.go: what is kept in memory, in sum.
//   - name.go: what a function is called by.
//   - invoke.go: an invocation whose answer is awaited whole.
//   - events.go: one whose answer nobody waits for.
//   - memory.go: those events where there is no queue.
//   - stream.go: an invocation whose answer is streamed.
//   - describe.go: the functions that there are.
//   - connections.go: the WebSockets that functions are told of.
//   - failure.go: what a function's failure is told as, and the API's own errors.
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
	// Functions are those that it serves.
	Functions []Function
	// Region and Account stand in the ARNs that it gives. Those of ARNs that it is given
	// are not looked at.
	Region, Account string
	// Aliases are the qualifiers that mean the one version, beside $LATEST.
	Aliases []string
	// Verifier checks signatures; nil: there are no keys, and only this machine may ask.
	Verifier *sigv4.Verifier
	// ConnectionsVerifier does so for the operations of WebSockets, with the same keys.
	ConnectionsVerifier *sigv4.Verifier
	// Sockets are the WebSockets that these operations reach; nil: none.
	Sockets *sockets.Hub
	// Queue keeps events until they are processed; nil: they are kept in memory.
	Queue *queue.Queue
	// Held is what this API and those before and after it keep in memory; nil where nothing
	// is asked of it.
	Held *Held
	Log  *slog.Logger
}

// Function is one function of the API.
type Function struct {
	Name    string // as clients call it, and routes
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

// Operations are all there are, the last one for whatever is none. Their handlers
// are reached through exchange.Begin.
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

// nameParameter is what routes call a function's name.
const nameParameter = "FunctionName"

// call is one request, whose caller may ask and whose body was read.
type call struct {
	w    *exchange.Writer
	r    *http.Request
	x    *exchange.Exchange
	body []byte
	// qualifier is the one by which a function was found, "" for none.
	qualifier string
	held      *Held
	size      int // of the body, as far as it is held
}

// operation is the handler of an operation with bodies up to limit.
func (a *API) operation(limit int64, do func(*call) error) http.Handler {
	return a.operationFor(a.options.Verifier, limit, do)
}

// operationFor is one whose signatures are judged by verifier.
func (a *API) operationFor(verifier *sigv4.Verifier, limit int64, do func(*call) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{w: exchange.WriterOf(w), r: r, x: exchange.Of(r), held: a.options.Held}
		defer func() { c.held.leave(c.size) }()
		c.x.ID = invocationID(c.x.ID)
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

// answer writes a whole answer; nil is no body.
func (c *call) answer(status int, contentType string, body []byte) {
	if body != nil {
		c.set("Content-Type", contentType)
	}
	c.setLength(len(body), status)
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // the client may be gone, and there is nobody else to tell
}

func unknown(c *call) error {
	return unknownOperation.about("Weir serves Invoke, InvokeWithResponseStream, ListFunctions, GetFunction and GetFunctionConfiguration of this API, not %s %s.",
		c.r.Method, c.x.Path)
}

// invocationID makes an id of the form that AWS's have of the exchange's, which
// logs and problems have too, or a new one where that has another form.
func invocationID(id string) string {
	const plain = 32
	if len(id) != plain || strings.Trim(id, "0123456789abcdef") != "" {
		return id
	}
	return id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
}
