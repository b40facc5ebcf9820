package runtimeapi

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/weir-gateway/weir/internal/function/local/telemetryapi"
	"github.com/weir-gateway/weir/internal/wire/http1"
)

// call is one request of the instance.
type call struct {
	*conn
	content

	method   string
	endpoint *endpoint // nil if there is none
	id       string    // of the invocation that it concerns
	here     bool      // its host is this server
	fields   fields
}

// fields are the header fields that are used here.
type fields struct {
	contentType    string
	errorType      string
	responseMode   string
	extensionName  string
	extensionID    string
	extensionError string // its type
}

// parse reads a whole head. Its result does not refer to raw.
func (c *conn) parse(raw []byte) (*call, error) {
	var head http1.Head
	if head.Parse(raw, limits) != http1.OK {
		return nil, errMalformed
	}
	made := &call{
		conn: c, content: content{from: c, framing: head.Framing, left: head.Length},
		method: methodOf(head.Method), here: string(head.Host) == c.server.address,
	}
	made.endpoint, made.id = c.server.find(head.Path)
	last := head.Minor == 0
	for name, value := range http1.Fields(raw[bytes.IndexByte(raw, '\n')+1:]) {
		switch {
		case is(name, "connection"):
			last = last || hasToken(value, "close")
		case is(name, "expect"):
			made.asks = head.Framing != http1.NoContent
		default:
			made.fields.note(name, value)
		}
	}
	c.mu.Lock()
	c.last = last
	c.mu.Unlock()
	return made, nil
}

// is reports whether a header field has the given name, which is in lower case.
func is(name []byte, want string) bool {
	return len(name) == len(want) && strings.EqualFold(string(name), want)
}

// hasToken reports whether a list has the given element, which is in lower case.
func hasToken(list []byte, want string) bool {
	for element := range bytes.SplitSeq(list, []byte(",")) {
		if is(bytes.TrimSpace(element), want) {
			return true
		}
	}
	return false
}

func (f *fields) note(name, value []byte) {
	var to *string
	switch {
	case is(name, "content-type"):
		to = &f.contentType
	case is(name, "lambda-runtime-function-error-type"):
		to = &f.errorType
	case is(name, "lambda-runtime-function-response-mode"):
		to = &f.responseMode
	case is(name, "lambda-extension-name"):
		to = &f.extensionName
	case is(name, "lambda-extension-identifier"):
		to = &f.extensionID
	case is(name, "lambda-extension-function-error-type"):
		to = &f.extensionError
	}
	if to != nil && *to == "" { // the first one counts
		*to = known(value)
	}
}

// known is string(value), without an allocation for the most frequent value.
func known(value []byte) string {
	const usual = "application/json"
	if string(value) == usual {
		return usual
	}
	return string(value)
}

func methodOf(name []byte) string {
	for _, known := range []string{http.MethodGet, http.MethodPost, http.MethodPut} {
		if string(name) == known {
			return known
		}
	}
	return ""
}

// endpoint is what a path addresses.
type endpoint struct {
	method string
	answer func(*Server, *call)
}

const (
	runtimeBase    = "/2018-06-01/runtime"
	invocationBase = runtimeBase + "/invocation/"
	extensionBase  = "/2020-01-01/extension"
)

// endpoints are those with fixed paths. invocationEndpoints concern an invocation, and are identified by their last
// segment.
var (
	endpoints = map[string]*endpoint{
		invocationBase + "next":        {http.MethodGet, (*Server).next},
		runtimeBase + "/init/error":    {http.MethodPost, (*Server).initFailure},
		runtimeBase + "/restore/next":  {http.MethodGet, (*Server).restore},
		runtimeBase + "/restore/error": {http.MethodPost, (*Server).restoreFailure},
		extensionBase + "/register":    {http.MethodPost, (*Server).register},
		extensionBase + "/event/next":  {http.MethodGet, (*Server).nextEvent},
		extensionBase + "/init/error":  {http.MethodPost, extensionFailed("Extension.InitError")},
		extensionBase + "/exit/error":  {http.MethodPost, extensionFailed("Extension.ExitError")},
		"/2020-08-15/logs":             {http.MethodPut, subscribe(telemetryapi.Logs)},
		"/2022-07-01/telemetry":        {http.MethodPut, subscribe(telemetryapi.Telemetry)},
	}
	invocationEndpoints = map[string]*endpoint{
		"response": {http.MethodPost, (*Server).response},
		"error":    {http.MethodPost, (*Server).failure},
	}
)

// find returns the endpoint of a target, nil for none, and the id in it.
func (s *Server) find(target []byte) (*endpoint, string) {
	path, _, _ := bytes.Cut(target, []byte("?"))
	if fixed := endpoints[string(path)]; fixed != nil {
		return fixed, ""
	}
	below, ok := bytes.CutPrefix(path, []byte(invocationBase))
	if !ok {
		return nil, ""
	}
	id, what, _ := bytes.Cut(below, []byte("/"))
	return invocationEndpoints[string(what)], string(id)
}
