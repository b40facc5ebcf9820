package local

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/local/azure"
	"github.com/weir-gateway/weir/internal/function/local/program"
	"github.com/weir-gateway/weir/internal/function/local/runtimeapi"
)

// customHandler is the contract of Azure Functions custom handlers: each instance
// serves HTTP on FUNCTIONS_CUSTOMHANDLER_PORT for all functions of an app.
type customHandler struct {
	web

	app *azure.App
}

// The variables that tell an instance its port. Both names are set.
const (
	customHandlerPort = "FUNCTIONS_CUSTOMHANDLER_PORT"
	httpWorkerPort    = "FUNCTIONS_HTTPWORKER_PORT" // the name before 2020
)

func newCustomHandler(m *machine, c *Config, p program.Program) *customHandler {
	told := []string{customHandlerPort, httpWorkerPort}
	return &customHandler{web: web{concurrency: c.bounds(p.Contract).Concurrency, ports: &m.ports, tells: told, silent: true}, app: p.App}
}

// launch gives an instance the variables of the Functions host, and those of local.settings.json. The config's values
// override both.
func (h *customHandler) launch(ctx context.Context, v *version) (*instance, error) {
	id := function.NewID()
	shared := map[string]string{
		"HOST": loopback, "FUNCTIONS_WORKER_RUNTIME": "custom", "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
	}
	maps.Copy(shared, h.app.Settings)
	maps.Copy(shared, map[string]string{
		"FUNCTIONS_APP_ROOT_PATH": h.app.Folder, "AzureWebJobsScriptRoot": h.app.Folder,
		"FUNCTIONS_CUSTOMHANDLER_WORKER_ID": id, "FUNCTIONS_HTTPWORKER_ID": id,
	})
	return v.launchProcess(ctx, shared, h.link)
}

// announce logs once what differs from Azure for this app.
func (h *customHandler) announce(log *slog.Logger) {
	for _, name := range h.app.IgnoredNames() {
		log.Warn("a function of the app is not served", "name", name, "reason", "it "+h.app.Ignored[name])
	}
	if guarded := h.app.Guarded(); len(guarded) > 0 {
		log.Info("functions of the app ask for no key here, whatever their authLevel: put auth on their routes", "names", strings.Join(guarded, ", "))
	}
}

// roundTrip lets the app's own routes choose the function.
func (h *customHandler) roundTrip(b *backend, r *http.Request) (*http.Response, error) {
	path := r.URL.EscapedPath()
	f, params, allow := h.app.Match(r.Method, path)
	switch {
	case f != nil:
		return h.call(b, r, f, path, params)
	case len(allow) > 0:
		return nil, wrongMethod(allow)
	}
	return nil, fault.RouteNotFound.New("No function of this app is at "+r.Method+" "+path+".", fault.Internal("the app's routes are those of its function.json"))
}

func wrongMethod(allow []string) error {
	list := strings.Join(allow, ", ")
	return fault.MethodNotAllowed.New("Allowed here: "+list+".", fault.WithField("Allow", list))
}

// callNamed calls the function that the gateway's route names.
func (h *customHandler) callNamed(b *backend, r *http.Request, name string) (*http.Response, error) {
	f, err := h.app.Find(name)
	if err != nil { // the app has changed since the route was made
		return nil, fault.RouteNotFound.New("", fault.Cause(err))
	}
	if !f.Takes(r.Method) {
		return nil, wrongMethod(f.Methods)
	}
	path, params, err := f.Place(r.URL.EscapedPath(), &exchange.Of(r).Params)
	if err != nil {
		return nil, fault.RouteNotFound.New("", fault.Cause(err))
	}
	return h.call(b, r, f, path, params)
}

// call lets an instance answer r as the function f.
func (h *customHandler) call(b *backend, r *http.Request, f *azure.Function, path string, params []azure.Param) (*http.Response, error) {
	id := function.NewID()
	if f.Passed {
		if err := readdress(r, path); err != nil {
			return nil, err
		}
		introduce(exchange.OwnHead(r), id)
		return h.web.roundTrip(b, r)
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	dropPrincipal(exchange.RequestHead(r))
	payload, err := f.Payload(r, path, params, body, function.NewID())
	if err != nil {
		return nil, fault.Unexpected.New("", fault.Cause(err))
	}
	return b.ask(r, func(place *lease) (*http.Response, error) { return h.invoke(b, r, place, f, id, payload) })
}

// readdress sets r's path to the one at which the handler expects it.
func readdress(r *http.Request, path string) error {
	target := *r.URL
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return fault.Unexpected.New("", fault.Cause(err))
	}
	target.Path, target.RawPath = decoded, path
	r.URL = &target
	return nil
}

// The header fields by which the Functions host identifies itself. The first is set by a host that proxies, the second
// by one that forwards.
const (
	proxiedField   = "X-Ms-Invocation-Id"
	forwardedField = "X-Azure-Functions-InvocationId"
	versionField   = "X-Azure-Functions-HostVersion"
	hostVersion    = "4.0.0.0"
)

func introduce(head exchange.Head, id string) {
	dropPrincipal(head)
	head.Set(proxiedField, id)
	head.Set(forwardedField, id)
	head.Set(versionField, hostVersion)
}

// dropPrincipal removes the header fields by which Azure tells handlers who is calling (App Service authentication), so
// that a client cannot set them.
func dropPrincipal(head exchange.Head) {
	exchange.DelFields(head, func(name string) bool {
		name = strings.ToLower(name)
		return strings.HasPrefix(name, "x-ms-client-principal") || strings.HasPrefix(name, "x-ms-token-")
	})
}

// invoke posts the payload to an instance, and reads the whole answer within the timeout.
func (h *customHandler) invoke(b *backend, r *http.Request, place *lease, f *azure.Function, id string, payload []byte) (*http.Response, error) {
	post := exchange.NewRequest(r.Context(), r)
	post.Method, post.URL, post.Host = http.MethodPost, &url.URL{Path: "/" + f.Name}, r.Host
	post.Body, post.ContentLength = io.NopCloser(bytes.NewReader(payload)), int64(len(payload))
	head := exchange.RequestHead(post)
	head.Set("Content-Type", "application/json; charset=utf-8")
	head.Set("User-Agent", "Azure-Functions-Host/"+hostVersion)
	if trace := exchange.RequestHead(r).Get("Traceparent"); trace != "" {
		head.Set("Traceparent", trace)
	}
	introduce(head, id)
	var answer []byte
	res, err := h.converse(b.timeout(), post, place, func(res *http.Response) (err error) {
		answer, err = io.ReadAll(io.LimitReader(res.Body, runtimeapi.MaxPayload+1))
		return err //nolint:wrapcheck // the connection's own
	})
	if err != nil {
		return nil, err
	}
	_ = res.Body.Close() // it was read
	if len(answer) > runtimeapi.MaxPayload {
		return nil, fault.FunctionBadResponse.New("", fault.Internal("the invocation's result has more than %d bytes", runtimeapi.MaxPayload))
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return nil, fault.FunctionError.New("", fault.Internal("the custom handler answered POST /%s with %d: %.200s", f.Name, res.StatusCode, answer))
	}
	result, err := f.Result(r, answer)
	h.tell(b, place, r, f, result)
	if err != nil {
		return nil, fault.FunctionBadResponse.New("", fault.Cause(err))
	}
	return result.Response, nil
}

// tell logs an invocation's log lines, and what it sent to other outputs.
func (h *customHandler) tell(b *backend, place *lease, r *http.Request, f *azure.Function, result azure.Result) {
	const most = 16 << 10 // as for a line of output
	log := b.log.With("instance", place.Instance().name, "request", exchange.Of(r).RequestID())
	for _, line := range result.Logs {
		log.Info(begin(line, most), "name", f.Name)
	}
	for _, output := range f.Outputs {
		if value, ok := result.Sent[output.Name]; ok {
			log.Info(fmt.Sprintf("the function sent %q, and nothing here takes what is for a %s", output.Name, output.Type),
				"name", f.Name, "value", begin(string(value), most))
		}
	}
}

// begin returns the beginning of text: at most the given number of bytes, in whole characters.
func begin(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
