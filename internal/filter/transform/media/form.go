package media

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/jsonx"
)

const formType = "application/x-www-form-urlencoded"

// Form reads and writes application/x-www-form-urlencoded (WHATWG URL, section 5) as an object of strings:
//
//	name=tea&tag=a&tag=b
//	{"name":"tea","tag":["a","b"]}
//
// A name that occurs several times becomes a list, and so does every name in Lists. Members are written in their order;
// null members are left out.
type Form struct{ Lists Paths }

// Decode implements Format.
func (f *Form) Decode(body []byte, _ string) ([]byte, error) {
	text := string(body)
	if err := httpx.CheckQuery(text); err != nil {
		return nil, fmt.Errorf("a form that servers read differently: it holds a ; or an incomplete %%")
	}
	values := fields{lists: f.Lists}
	for pair := range strings.SplitSeq(text, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, nameErr := url.QueryUnescape(name)
		value, valueErr := url.QueryUnescape(value)
		if nameErr != nil || valueErr != nil || !utf8.ValidString(name) || !utf8.ValidString(value) {
			return nil, fmt.Errorf("a field of the form is not UTF-8 with sound escapes")
		}
		if err := values.add(name, jsonx.AppendString(nil, value), maxFields); err != nil {
			return nil, err
		}
	}
	return values.object(), nil
}

// fields are the fields of a form, in the order in which their names first appear.
type fields struct {
	lists  Paths
	names  []string
	values map[string][][]byte // JSON
	count  int
}

// add adds a value. It fails if there are then more than most.
func (f *fields) add(name string, value []byte, most int) error {
	if f.count++; f.count > most {
		return fmt.Errorf("there are more than %d fields", most)
	}
	if f.values == nil {
		f.values = map[string][][]byte{}
	}
	if _, known := f.values[name]; !known {
		f.names = append(f.names, name)
	}
	f.values[name] = append(f.values[name], value)
	return nil
}

// object returns all fields as JSON.
func (f *fields) object() []byte {
	dst := []byte{'{'}
	for _, name := range f.names {
		dst = appendMember(dst, name)
		list := f.values[name]
		if len(list) == 1 && !slices.Contains(f.lists.Ends(), name) {
			dst = append(dst, list[0]...)
			continue
		}
		dst = append(dst, '[')
		for i, value := range list {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, value...)
		}
		dst = append(dst, ']')
	}
	for _, name := range f.lists.Ends() {
		if _, there := f.values[name]; !there {
			dst = append(appendMember(dst, name), "[]"...)
		}
	}
	return append(dst, '}')
}

// Append implements Format.
func (f *Form) Append(dst []byte, v jsonx.Value) ([]byte, string, error) {
	start := len(dst)
	err := eachField(v, func(name string, value jsonx.Value) error {
		text, err := plainText(value)
		if err != nil {
			return fmt.Errorf("the field %s: %w", shortened(name), err)
		}
		if len(dst) > start {
			dst = append(dst, '&')
		}
		if dst = append(dst, url.QueryEscape(name)+"="+url.QueryEscape(text)...); len(dst)-start > room(v) {
			return errTooLong(room(v))
		}
		return nil
	})
	return dst, formType, err
}

// eachField calls do for each value of the members of v, which must be an object: for each element of a list, and not
// at all for null.
func eachField(v jsonx.Value, do func(name string, value jsonx.Value) error) error {
	if v.Kind() != jsonx.Object {
		return fmt.Errorf("a form is made of an object, this is %s", v.Kind())
	}
	for name, value := range v.Members() {
		if value.Kind() != jsonx.List {
			if value.Kind() == jsonx.Null {
				continue
			}
			if err := do(name, value); err != nil {
				return err
			}
			continue
		}
		for element := range value.Elements() {
			if err := do(name, element); err != nil {
				return err
			}
		}
	}
	return nil
}

// plainText is the text of a string, number or truth value.
func plainText(v jsonx.Value) (string, error) {
	switch v.Kind() {
	case jsonx.String:
		return v.Text(), nil
	case jsonx.Number, jsonx.Bool:
		return v.Raw(), nil
	default:
		return "", fmt.Errorf("%s has no form as plain text", v.Kind())
	}
}
