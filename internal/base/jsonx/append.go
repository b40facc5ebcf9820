package jsonx

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

var errNotFinite = errors.New("json: infinity and NaN have no JSON form")

// Append writes v to dst: nil, bool, string, the integer and float types that occur in decoded trees, json.Number,
// json.RawMessage, Raw and Value (the last four as they are), []byte (base64), []any, []string and map[string]any
// (sorted by name). Any other type, a number that is not finite, a json.Number or RawMessage that is not valid JSON,
// and nesting deeper than 10000 are errors. dst then holds partial output.
func Append(dst []byte, v any) ([]byte, error) { return appendAny(dst, v, mostDepth) }

func appendAny(dst []byte, v any, depth int) ([]byte, error) {
	if depth == 0 {
		return dst, errors.New("json: the nesting is too deep")
	}
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case string:
		return AppendString(dst, v), nil
	case int:
		return strconv.AppendInt(dst, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case uint64:
		return strconv.AppendUint(dst, v, 10), nil
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return dst, errNotFinite
		}
		return AppendFloat(dst, v), nil
	case Value:
		if v.doc == nil {
			return append(dst, "null"...), nil
		}
		return append(dst, v.Raw()...), nil
	case Raw:
		return append(dst, v...), nil
	case []any:
		return appendList(dst, v, depth)
	case map[string]any:
		return appendMap(dst, v, depth)
	default:
		return appendOther(dst, v)
	}
}

// appendOther writes the less common types.
func appendOther(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case json.Number:
		return appendChecked(dst, []byte(v), Number)
	case json.RawMessage:
		return appendChecked(dst, v, Invalid)
	case []byte:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v)
		return append(dst, '"'), nil
	case []string:
		dst = append(dst, '[')
		for i, s := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = AppendString(dst, s)
		}
		return append(dst, ']'), nil
	default:
		return dst, fmt.Errorf("json: a %T has no JSON form", v)
	}
}

// appendChecked writes a text that should be JSON; kind Invalid accepts any kind.
func appendChecked(dst, text []byte, kind Kind) ([]byte, error) {
	parsed, err := Parse(text, Options{MaxBytes: mostBytes, MaxDepth: mostDepth})
	if err != nil {
		return dst, err
	}
	if kind != Invalid && parsed.Kind() != kind {
		return dst, fmt.Errorf("json: %s stands where %s is expected", parsed.Kind(), kind)
	}
	return append(dst, parsed.Raw()...), nil
}

func appendList(dst []byte, list []any, depth int) ([]byte, error) {
	dst = append(dst, '[')
	for i, e := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendAny(dst, e, depth-1); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

func appendMap(dst []byte, m map[string]any, depth int) ([]byte, error) {
	dst = append(dst, '{')
	for i, name := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(AppendString(dst, name), ':')
		var err error
		if dst, err = appendAny(dst, m[name], depth-1); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// AppendFloat writes a finite f as ECMAScript does (RFC 8785 section 3.2.2.3):
// 12345678 and never 1.2345678e+07; an exponent only below 1e-6 and from 1e21.
func AppendFloat(dst []byte, f float64) []byte {
	if f == 0 { // -0 too
		return append(dst, '0')
	}
	if abs := math.Abs(f); abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// strconv pads exponents to two digits: 1e-07 becomes 1e-7.
	if n := len(dst); n-start >= 4 && dst[n-2] == '0' && (dst[n-3] == '-' || dst[n-3] == '+') {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

const hex = "0123456789abcdef"

// AppendString writes s as a JSON string. It escapes only what must be escaped, and U+2028 and U+2029 for the sake of
// JavaScript. Invalid UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = appendEscaped(append(dst, s[start:i]...), c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
			dst = append(dst, s[start:i]...)
			if size == 1 {
				dst = append(dst, "\uFFFD"...)
			} else {
				dst = append(dst, '\\', 'u', '2', '0', '2', hex[r&0xF])
			}
			start = i + size
		}
		i += size
	}
	return append(append(dst, s[start:]...), '"')
}

func appendEscaped(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	default:
		return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xF])
	}
}
