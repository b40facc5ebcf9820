package media

import (
	"encoding/base64"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

const jsonType = "application/json"

// JSON is the identity format. Objects with duplicate names are refused.
type JSON struct{}

// Decode implements Format.
func (*JSON) Decode(body []byte, _ string) ([]byte, error) { return body, nil }

// Append implements Format.
func (*JSON) Append(dst []byte, v jsonx.Value) ([]byte, string, error) {
	return append(dst, v.Raw()...), jsonType, nil
}

// Text is a body that is one string.
type Text struct{}

// Decode implements Format.
func (*Text) Decode(body []byte, _ string) ([]byte, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("it is not UTF-8")
	}
	return jsonx.AppendString(nil, string(body)), nil
}

// Append implements Format.
func (*Text) Append(dst []byte, v jsonx.Value) ([]byte, string, error) {
	text, err := plainText(v)
	return append(dst, text...), "text/plain; charset=utf-8", err
}

// Bytes is any body; its JSON is a base64 string.
type Bytes struct{}

// Decode implements Format.
func (*Bytes) Decode(body []byte, _ string) ([]byte, error) {
	dst := base64.StdEncoding.AppendEncode([]byte{'"'}, body)
	return append(dst, '"'), nil
}

// Append implements Format.
func (*Bytes) Append(dst []byte, v jsonx.Value) ([]byte, string, error) {
	content, err := decoded(v)
	return append(dst, content...), "application/octet-stream", err
}

// decoded returns the content of a base64 string, with or without padding.
func decoded(v jsonx.Value) ([]byte, error) {
	if v.Kind() != jsonx.String {
		return nil, fmt.Errorf("base64 is a string, this is %s", v.Kind())
	}
	text := v.Text()
	encoding := base64.StdEncoding
	if len(text)%4 != 0 {
		encoding = base64.RawStdEncoding
	}
	content, err := encoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("the string is not base64")
	}
	return content, nil
}
