package azure

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/function/form/reply"
)

// Result is a handler's result of one invocation.
type Result struct {
	Response *http.Response
	Logs     []string
	// Sent are the values for outputs that do not go to the client, as JSON, by the binding's name.
	Sent map[string]json.RawMessage
}

// result is the handler's answer.
type result struct {
	Outputs     map[string]json.RawMessage
	Logs        []string
	ReturnValue json.RawMessage
}

// response is the value of an http output. A field that is present but null counts as present, so the fields are raw.
type response struct {
	StatusCode json.RawMessage
	Status     json.RawMessage
	Headers    map[string]json.RawMessage
	Body       json.RawMessage
}

// Result reads the answer of f's handler to r. An error says what in it does not fit. Logs are then returned too, if
// they could be read.
func (f *Function) Result(r *http.Request, answer []byte) (Result, error) {
	var said result
	if err := json.Unmarshal(bytes.TrimPrefix(answer, []byte("\xef\xbb\xbf")), &said); err != nil {
		return Result{}, fmt.Errorf("the answer is no invocation's result, {\"Outputs\": {...}, \"Logs\": [...], \"ReturnValue\": ...}: %w", err)
	}
	out := Result{Logs: said.Logs, Sent: map[string]json.RawMessage{}}
	for _, o := range f.Outputs {
		value := said.Outputs[o.Name]
		if o.Name == returnValue {
			value = said.ReturnValue
		}
		if !absent(value) {
			out.Sent[o.Name] = value
		}
	}
	var err error
	switch f.Response {
	case "":
		out.Response, err = reply.New(r, http.StatusNoContent) // as the host does, if no binding answers
	case returnValue:
		out.Response, err = ofReturn(r, said.ReturnValue)
	default:
		if out.Response, err = ofOutput(r, said.Outputs[f.Response]); err != nil {
			err = fmt.Errorf("the output %q: %w", f.Response, err)
		}
	}
	return out, err
}

func absent(value json.RawMessage) bool { return len(value) == 0 || string(value) == "null" }

// ofOutput makes the response of an http output, which is an object, or a text that contains one.
func ofOutput(r *http.Request, value json.RawMessage) (*http.Response, error) {
	var said response
	if absent(value) {
		return said.to(r)
	}
	if text, ok := textOf(value); ok {
		value = json.RawMessage(text)
	}
	if err := json.Unmarshal(value, &said); err != nil {
		return nil, errors.New("it is no object with statusCode, headers and body")
	}
	return said.to(r)
}

// ofReturn makes the response of a return value. Only an object with a body, or a text that contains one, describes a
// response. Everything else is the body itself.
func ofReturn(r *http.Request, value json.RawMessage) (*http.Response, error) {
	described := value
	if text, ok := textOf(value); ok {
		described = json.RawMessage(text)
	}
	var said response
	if json.Unmarshal(described, &said) == nil && said.Body != nil {
		return said.to(r)
	}
	return (&response{Body: value}).to(r)
}

func textOf(value json.RawMessage) (string, bool) {
	var text string
	if len(value) == 0 || value[0] != '"' || json.Unmarshal(value, &text) != nil {
		return "", false
	}
	return text, true
}

func (s *response) to(r *http.Request) (*http.Response, error) {
	status, err := s.status()
	if err != nil {
		return nil, err
	}
	res, err := reply.New(r, status)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what it is about
	}
	head := exchange.ResponseHead(res)
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		if err := addField(head, name, s.Headers[name]); err != nil {
			return nil, err
		}
	}
	body := s.body()
	if len(body) > 0 && head.Get("Content-Type") == "" && !reply.Bodyless(status) {
		head.Set("Content-Type", "text/plain; charset=utf-8") // what the host sends, also for objects
	}
	reply.SetBody(res, body)
	return res, nil
}

// status is statusCode, or else status, each a number or a text that contains one.
func (s *response) status() (int, error) {
	written := s.StatusCode
	if absent(written) {
		written = s.Status
	}
	if absent(written) {
		return http.StatusOK, nil
	}
	status, err := strconv.Atoi(strings.Trim(string(written), `"`))
	if err != nil {
		return 0, fmt.Errorf("statusCode is %.20s, not a number", written)
	}
	return status, nil
}

// body returns a text itself, and everything else as JSON.
func (s *response) body() []byte {
	if absent(s.Body) {
		return nil
	}
	if text, ok := textOf(s.Body); ok {
		return []byte(text)
	}
	var compact bytes.Buffer
	_ = json.Compact(&compact, s.Body) // it was read as JSON, so it is valid
	return compact.Bytes()
}

// addField adds the lines of one header field: one line for a text or a number, one per element of a list.
func addField(head exchange.Head, name string, raw json.RawMessage) error {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil || list == nil {
		list = []json.RawMessage{raw}
	}
	for _, one := range list {
		value := string(one)
		if text, ok := textOf(one); ok {
			value = text
		} else if absent(one) || value[0] == '{' || value[0] == '[' {
			return fmt.Errorf("the answer's header %q is no text", name)
		}
		ours, err := reply.Check(name, value)
		if err != nil {
			return err //nolint:wrapcheck // it names the field
		}
		if ours {
			head.Add(name, value)
		}
	}
	return nil
}
