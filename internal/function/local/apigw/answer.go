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
	"github.com/weir-gateway/weir/internal/function/local/reply"
)

// answer is what a function returns in payload format version 2.0.
type answer struct {
	StatusCode      json.RawMessage            `json:"statusCode"`
	Headers         map[string]json.RawMessage `json:"headers"`
	Body            *string                    `json:"body"`
	IsBase64Encoded bool                       `json:"isBase64Encoded"`
	Cookies         []string                   `json:"cookies"`
}

// Decode makes the response to r of a function's whole payload. JSON without a
// statusCode is the body itself: status 200, application/json.
func Decode(r *http.Request, payload []byte) (*http.Response, error) {
	payload = bytes.TrimSpace(payload)
	if !json.Valid(payload) {
		return nil, errors.New("the function's answer is not JSON")
	}
	if payload[0] != '{' {
		return inferred(r, payload), nil
	}
	var a answer
	if err := json.Unmarshal(payload, &a); err != nil {
		if !hasStatusCode(payload) { // its fields are called like ours, but mean something else
			return inferred(r, payload), nil
		}
		return nil, fmt.Errorf("the function's answer: %w", err)
	}
	if a.StatusCode == nil {
		return inferred(r, payload), nil
	}
	res, err := a.head(r)
	if err != nil {
		return nil, err
	}
	body, err := a.body()
	if err != nil {
		return nil, err
	}
	reply.SetBody(res, body)
	return res, nil
}

func hasStatusCode(payload []byte) bool {
	var a struct {
		StatusCode json.RawMessage `json:"statusCode"`
	}
	return json.Unmarshal(payload, &a) == nil && a.StatusCode != nil
}

func inferred(r *http.Request, payload []byte) *http.Response {
	res := exchange.NewResponse(r, http.StatusOK, exchange.Field{Name: "Content-Type", Value: "application/json"})
	reply.SetBody(res, payload)
	return res
}

func (a *answer) body() ([]byte, error) {
	if a.Body == nil {
		return nil, nil
	}
	if !a.IsBase64Encoded {
		return []byte(*a.Body), nil
	}
	body, err := base64.StdEncoding.DecodeString(*a.Body)
	if err != nil {
		return nil, fmt.Errorf("the answer says isBase64Encoded, but its body: %w", err)
	}
	return body, nil
}

// head makes the response to r without its body. Fields that belong to a connection
// and not to the answer are left out.
func (a *answer) head(r *http.Request) (*http.Response, error) {
	status, err := a.status()
	if err != nil {
		return nil, err
	}
	res, err := reply.New(r, status)
	if err != nil {
		return nil, err //nolint:wrapcheck // it says what it is about
	}
	head := exchange.ResponseHead(res)
	for _, name := range slices.Sorted(maps.Keys(a.Headers)) { // spellings of one name have an order, and the last one wins
		value, err := fieldValue(a.Headers[name])
		if err != nil {
			return nil, fmt.Errorf("the answer's header %q: %w", name, err)
		}
		ours, err := reply.Check(name, value)
		switch {
		case err != nil:
			return nil, err //nolint:wrapcheck // it names the field
		case !ours:
		case strings.EqualFold(name, "Set-Cookie"): // but each is another cookie
			head.Add(name, value)
		default:
			head.Set(name, value)
		}
	}
	for _, cookie := range a.Cookies {
		if !httpguts.ValidHeaderFieldValue(cookie) {
			return nil, errors.New("one of the answer's cookies is not valid")
		}
		head.Add("Set-Cookie", cookie)
	}
	return res, nil
}

// status reads the code, which some languages' functions give as a text.
func (a *answer) status() (int, error) {
	status, err := strconv.Atoi(strings.Trim(string(a.StatusCode), `"`))
	if err != nil {
		return 0, fmt.Errorf("the answer's statusCode is %.20s, not a number", a.StatusCode)
	}
	return status, nil
}

// fieldValue reads a header's value: a text, or a number or truth value as its text.
func fieldValue(raw json.RawMessage) (string, error) {
	switch raw[0] {
	case '"':
		var text string
		err := json.Unmarshal(raw, &text)
		return text, err //nolint:wrapcheck // head names the field
	case '{', '[', 'n':
		return "", errors.New("it is no text; several values are joined by commas, and cookies have their own field")
	default:
		return string(raw), nil
	}
}
