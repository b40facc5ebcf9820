package apigw

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/function/form/reply"
)

// answer is what a function returns in payload format version 2.0.
type answer struct {
	status    json.RawMessage // nil for none
	headers   []header        // sorted by name
	multiple  []header        // those with lists of values, which take precedence; the values of one name are adjacent
	body      *string
	isEncoded bool
	cookies   []string
}

// header is one entry of headers.
type header struct {
	name, value string
	err         error // why it has no value
}

// Decode turns a function's whole payload into the response to r. JSON without a statusCode is the body itself: status
// 200, application/json.
func Decode(r *http.Request, payload []byte) (*http.Response, error) {
	if isEvent(r) {
		return decodeEvent(r, payload)
	}
	payload = bytes.TrimSpace(payload)
	a, plain := readPlain(payload)
	if !plain {
		var err error
		if a, err = read(payload); err != nil {
			return nil, err
		}
	}
	if a == nil || a.status == nil {
		return inferred(r, payload), nil
	}
	return a.response(r)
}

// response builds the whole response.
func (a *answer) response(r *http.Request) (*http.Response, error) {
	res, err := a.head(r)
	if err != nil {
		return nil, err
	}
	body, err := a.content()
	if err != nil {
		return nil, err
	}
	reply.SetBody(res, body)
	return res, nil
}

// mostPlain is the size limit for readPlain, whose memory use also grows with commas and colons inside strings.
const mostPlain = 64 << 10

// readPlain reads an answer that means the same to every JSON parser: each name occurs once, and each value has the
// expected kind. Nearly all answers are like that, and reading them this way costs a third of what read does. plain is
// false if the answer is not like that.
func readPlain(payload []byte) (a *answer, plain bool) {
	if len(payload) > mostPlain {
		return nil, false
	}
	value, err := jsonx.Parse(payload, jsonx.Options{Unique: true})
	if err != nil {
		return nil, false
	}
	if value.Kind() != jsonx.Object {
		return nil, true
	}
	a = &answer{}
	for name, member := range value.Members() {
		if !a.take(name, member) {
			return nil, false
		}
	}
	return a, true
}

// take takes over one member of a plain answer, and reports whether the member is plain.
func (a *answer) take(name string, member jsonx.Value) bool {
	kind := member.Kind()
	switch name {
	case "statusCode":
		a.status = json.RawMessage(member.Raw())
	case "headers":
		return a.takeHeaders(member)
	case "body":
		if text := member.Text(); kind == jsonx.String {
			a.body = &text
		}
		return kind == jsonx.String || kind == jsonx.Null
	case "isBase64Encoded":
		a.isEncoded = member.Bool()
		return kind == jsonx.Bool || kind == jsonx.Null
	case "cookies":
		for cookie := range member.Elements() {
			if cookie.Kind() != jsonx.String {
				return false
			}
			a.cookies = append(a.cookies, cookie.Text())
		}
		return kind == jsonx.List || kind == jsonx.Null
	}
	return true
}

func (a *answer) takeHeaders(object jsonx.Value) bool {
	for name, value := range object.Members() {
		h := header{name: name}
		switch value.Kind() {
		case jsonx.String:
			h.value = value.Text()
		case jsonx.Number, jsonx.Bool:
			h.value = value.Raw()
		default:
			h.err = errNoText
		}
		a.headers = append(a.headers, h)
	}
	slices.SortFunc(a.headers, func(a, b header) int { return strings.Compare(a.name, b.name) })
	return object.Kind() == jsonx.Object || object.Kind() == jsonx.Null
}

// parse reads an answer that is an object, including lists of values if its format has them. Along with an error it may
// return the parts that are valid.
func parse(payload []byte, lists bool) (*answer, error) {
	payload = bytes.TrimSpace(payload)
	if !json.Valid(payload) || payload[0] != '{' {
		return nil, errors.New("the function's answer is no JSON object")
	}
	a, err := assemble(payload, lists)
	if err != nil {
		err = fmt.Errorf("the function's answer: %w", err)
	}
	return a, err
}

// assemble reads a valid JSON object. It returns the first error along with all members that have none.
func assemble(object []byte, lists bool) (*answer, error) {
	a := &answer{}
	var wrong error
	for name, value := range members(object) {
		if name == "multiValueHeaders" && !lists {
			continue
		}
		if err := a.set(name, value); err != nil && wrong == nil {
			wrong = fmt.Errorf("%s: %w", name, err)
		}
	}
	return a, wrong
}

// set takes over one member. A later member replaces an earlier one with the same name.
func (a *answer) set(name string, value json.RawMessage) (err error) {
	switch name {
	case "statusCode":
		a.status = value
	case "headers":
		a.headers, err = fieldsOf(value)
	case "multiValueHeaders":
		a.multiple, err = fieldListsOf(value)
	case "body":
		a.body = nil
		err = json.Unmarshal(value, &a.body)
	case "isBase64Encoded":
		a.isEncoded = false
		err = json.Unmarshal(value, &a.isEncoded)
	case "cookies":
		a.cookies = nil
		err = json.Unmarshal(value, &a.cookies)
	}
	return err //nolint:wrapcheck // assemble names the member
}

func fieldsOf(object json.RawMessage) (list []header, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(object, &fields); err != nil {
		return nil, err //nolint:wrapcheck // assemble names the member
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		value, err := fieldValue(fields[name])
		list = append(list, header{name, value, err})
	}
	return list, nil
}

func fieldListsOf(object json.RawMessage) (list []header, err error) {
	var fields map[string][]string
	if err := json.Unmarshal(object, &fields); err != nil {
		return nil, err //nolint:wrapcheck // assemble names the member
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		for _, value := range fields[name] {
			list = append(list, header{name: name, value: value})
		}
	}
	return list, nil
}

// read reads any answer. It returns nil if the whole payload is the body.
func read(payload []byte) (*answer, error) {
	if !json.Valid(payload) {
		return nil, errors.New("the function's answer is not JSON")
	}
	if payload[0] != '{' {
		return nil, nil
	}
	a, err := assemble(payload, false)
	switch {
	case err == nil:
		return a, nil
	case a.status == nil: // its members share our names, but mean something else
		return nil, nil
	default:
		return nil, fmt.Errorf("the function's answer: %w", err)
	}
}

func inferred(r *http.Request, payload []byte) *http.Response {
	res := exchange.NewResponse(r, http.StatusOK, exchange.Field{Name: "Content-Type", Value: "application/json"})
	reply.SetBody(res, payload)
	return res
}

func (a *answer) content() ([]byte, error) {
	if a.body == nil {
		return nil, nil
	}
	if !a.isEncoded {
		return []byte(*a.body), nil
	}
	body, err := base64.StdEncoding.DecodeString(*a.body)
	if err != nil {
		return nil, fmt.Errorf("the answer says isBase64Encoded, but its body: %w", err)
	}
	return body, nil
}

// head builds the response to r without its body. Header fields that belong to a connection and not to the answer are
// omitted.
func (a *answer) head(r *http.Request) (*http.Response, error) {
	status, err := a.statusCode()
	if err != nil {
		return nil, err
	}
	res, err := reply.New(r, status)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what it is about
	}
	head := exchange.ResponseHead(res)
	for _, h := range a.headers { // spellings of one name are ordered, and the last one wins
		if h.err != nil {
			return nil, fmt.Errorf("the answer's header %q: %w", h.name, h.err)
		}
		ours, err := reply.Check(h.name, h.value)
		switch {
		case err != nil:
			return nil, err //nolint:wrapcheck // it names the field
		case !ours:
		case strings.EqualFold(h.name, "Set-Cookie"): // but each of these is a separate cookie
			head.Add(h.name, h.value)
		default:
			head.Set(h.name, h.value)
		}
	}
	if err := a.lists(head); err != nil {
		return nil, err
	}
	for _, cookie := range a.cookies {
		if !httpguts.ValidHeaderFieldValue(cookie) {
			return nil, errors.New("one of the answer's cookies is not valid")
		}
		head.Add("Set-Cookie", cookie)
	}
	return res, nil
}

// lists sets the header fields that have lists of values.
func (a *answer) lists(head exchange.Head) error {
	for i, h := range a.multiple {
		if i == 0 || a.multiple[i-1].name != h.name {
			head.Del(h.name)
		}
		ours, err := reply.Check(h.name, h.value)
		if err != nil {
			return err //nolint:wrapcheck // it names the field
		}
		if ours {
			head.Add(h.name, h.value)
		}
	}
	return nil
}

// statusCode reads the status code, which functions in some languages return as a string.
func (a *answer) statusCode() (int, error) {
	status, err := strconv.Atoi(strings.Trim(string(a.status), `"`))
	if err != nil {
		return 0, fmt.Errorf("the answer's statusCode is %.20s, not a number", a.status)
	}
	return status, nil
}

var errNoText = errors.New("it is no text; several values are joined by commas, and cookies have their own field")

// fieldValue reads a header's value: a string, or a number or boolean as its text.
func fieldValue(raw json.RawMessage) (string, error) {
	switch raw[0] {
	case '"':
		var text string
		err := json.Unmarshal(raw, &text)
		return text, err //nolint:wrapcheck // head names the field
	case '{', '[', 'n':
		return "", errNoText
	default:
		return string(raw), nil
	}
}
