package websocket

import (
	"fmt"
	"strings"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// Selection is a route selection expression of API Gateway, in the only form that messages have: $request.body.NAME,
// with further names for nested objects; with or without ${ }.
type Selection string

const ofBody = "$request.body."

// UnmarshalText reads a selection.
func (s *Selection) UnmarshalText(text []byte) error {
	plain := string(text)
	if inner, ok := strings.CutPrefix(plain, "${"); ok && strings.HasSuffix(inner, "}") {
		plain = "$" + strings.TrimSuffix(inner, "}")
	}
	names, ok := strings.CutPrefix(plain, ofBody)
	if !ok || names == "" || strings.Contains("."+names+".", "..") || strings.ContainsAny(names, " ${}[]\"'") {
		return fmt.Errorf("%q selects nothing; a selection is written like %saction", text, ofBody)
	}
	*s = Selection(plain)
	return nil
}

// mostDepth is the deepest nesting of a message.
const mostDepth = 64

// key returns the key of a message, "" if it has none: it is not JSON, or has no text there.
func (s Selection) key(message []byte) string {
	if s == "" {
		return ""
	}
	value, err := jsonx.Parse(message, jsonx.Options{MaxBytes: len(message), MaxDepth: mostDepth})
	if err != nil {
		return ""
	}
	for name := range strings.SplitSeq(strings.TrimPrefix(string(s), ofBody), ".") {
		if value.Kind() != jsonx.Object {
			return ""
		}
		value = member(value, name)
	}
	switch value.Kind() {
	case jsonx.String:
		return value.Text()
	case jsonx.Number, jsonx.Bool:
		return value.Raw()
	default:
		return ""
	}
}

// member returns the last member of that name.
func member(of jsonx.Value, name string) jsonx.Value {
	var found jsonx.Value
	for n, v := range of.Members() {
		if n == name {
			found = v
		}
	}
	return found
}
