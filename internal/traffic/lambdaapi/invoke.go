package lambdaapi

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/function"
)

// The header fields that say how to invoke, and how it went, with their values.
const (
	typeField       = "X-Amz-Invocation-Type"
	logField        = "X-Amz-Log-Type"
	contextField    = "X-Amz-Client-Context"
	versionField    = "X-Amz-Executed-Version"
	errorField      = "X-Amz-Function-Error"
	logResultField  = "X-Amz-Log-Result"
	unhandled       = "Unhandled"
	jsonType        = "application/json"
	requestResponse = "RequestResponse"
	event           = "Event"
	dryRun          = "DryRun"
	// maxClientContext is AWS's bound on the decoded context.
	maxClientContext = 3583
	// maxAnswer is the largest whole answer, with the tolerance that AWS itself allows.
	maxAnswer = maxPayload + 100
)

// invoke implements Invoke.
func (a *API) invoke(c *call) error {
	f, invoker, err := a.invoker(c)
	if err != nil {
		return err
	}
	how, err := c.invocationType(requestResponse, event, dryRun)
	if err != nil {
		return err
	}
	i, err := c.invocation()
	if err != nil {
		return err
	}
	switch how {
	case dryRun:
		c.set(versionField, invoker.Facts().Version)
		c.answer(http.StatusNoContent, "", nil)
		return nil
	case event:
		return a.accept(c, f, i)
	}
	return a.answered(c, invoker, i)
}

// invocationType reads how a function is to be invoked; the default is RequestResponse.
func (c *call) invocationType(allowed ...string) (string, error) {
	how := exchange.RequestHead(c.r).Get(typeField)
	if how == "" {
		return requestResponse, nil
	}
	if slices.Contains(allowed, how) {
		return how, nil
	}
	return "", validation.about("1 validation error detected: Value '%.64s' at 'invocationType' failed to satisfy constraint: Member must satisfy enum value set: %v", how, allowed)
}

// invocation reads the invocation from the request.
func (c *call) invocation() (function.Invocation, error) {
	head := exchange.RequestHead(c.r)
	i := function.Invocation{ID: c.x.RequestID(), Payload: c.body, Qualifier: c.qualifier}
	if len(i.Payload) == 0 {
		i.Payload = []byte("{}")
	}
	if !json.Valid(i.Payload) {
		return i, invalidContent.about("Could not parse request body into json: the payload is not valid JSON")
	}
	switch log := head.Get(logField); log {
	case "", "None":
	case "Tail":
		i.Log = true
	default:
		return i, validation.about("1 validation error detected: Value '%.64s' at 'logType' failed to satisfy constraint: Member must satisfy enum value set: [None, Tail]", log)
	}
	if encoded := head.Get(contextField); encoded != "" {
		raw, err := base64.StdEncoding.DecodeString(encoded)
		switch {
		case err != nil || !isObject(raw):
			return i, invalidContent.about("Client context must be a valid Base64-encoded JSON object.")
		case len(raw) > maxClientContext:
			return i, invalidContent.about("Client context must be at most %d bytes, not %d.", maxClientContext, len(raw))
		}
		i.ClientContext = string(raw)
	}
	return i, nil
}

func isObject(raw []byte) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal(raw, &object) == nil && object != nil
}

// inName makes the request on whose behalf a function is invoked.
func (c *call) inName() *http.Request {
	r := exchange.NewRequest(c.r.Context(), c.r)
	r.Method, r.URL, r.Host = c.r.Method, c.r.URL, c.r.Host
	return r
}

// answered invokes a function, and waits for the whole answer.
func (a *API) answered(c *call, invoker function.Invoker, i function.Invocation) error {
	answer, err := invoker.Invoke(c.inName(), i)
	if err == nil && answer.Stream != nil {
		answer.Payload, err = whole(answer.Stream)
	}
	failed := failure(c, err, invoker.Facts().Timeout)
	if err != nil && failed == nil {
		return err
	}
	c.set(versionField, answer.Version)
	if answer.Log != nil {
		c.set(logResultField, base64.StdEncoding.EncodeToString(answer.Log()))
	}
	body := answer.Payload
	if failed != nil {
		c.set(errorField, unhandled)
		body = failed.Body
	}
	c.answer(http.StatusOK, jsonType, body)
	return nil
}

// whole reads a stream for a client that has not asked for one.
func whole(stream io.ReadCloser) ([]byte, error) {
	defer func() { _ = stream.Close() }() // it only says that no one reads on
	payload, err := io.ReadAll(io.LimitReader(stream, maxAnswer+1))
	if err == nil && len(payload) > maxAnswer {
		return nil, answerTooLarge()
	}
	return payload, err //nolint:wrapcheck // the function's own
}

// setLength sets Content-Length, unless the status allows no body.
func (c *call) setLength(n, status int) {
	if status != http.StatusNoContent {
		c.set("Content-Length", strconv.Itoa(n))
	}
}
