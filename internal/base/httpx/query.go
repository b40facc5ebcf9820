package httpx

import (
	"iter"
	"strings"

	"github.com/weir-gateway/weir/internal/base/fault"
)

// QueryLookup returns the first value of the parameter name in the raw query (without '?') and whether there is one.
// Names and values are decoded once, as in forms (WHATWG URL, application/x-www-form-urlencoded): '+' is a blank, and
// only '&' separates parameters. A parameter without '=' has the value "". It allocates nothing except for a value that
// holds an encoding.
func QueryLookup(raw, name string) (string, bool) {
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		key, value, _ := strings.Cut(pair, "=")
		if pair == "" || !equalDecoded(key, name) {
			continue
		}
		return formDecoded(value), true
	}
	return "", false
}

// QueryValues yields all values of the parameter name in their order, decoded as in QueryLookup.
func QueryValues(raw, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for pair := range strings.SplitSeq(raw, "&") {
			if value, ok := QueryLookup(pair, name); ok && !yield(value) {
				return
			}
		}
	}
}

// QueryPairs yields all parameters of the raw query in their order, decoded as in QueryLookup. A ';' separates them
// too: QueryPairs is for callers that have to know what any server might read.
func QueryPairs(raw string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for pair := range strings.FieldsFuncSeq(raw, func(r rune) bool { return r == '&' || r == ';' }) {
			name, value, _ := strings.Cut(pair, "=")
			if !yield(formDecoded(name), formDecoded(value)) {
				return
			}
		}
	}
}

// formDecoded decodes a name or a value. It returns one without encodings as it is.
func formDecoded(encoded string) string {
	if !strings.ContainsAny(encoded, "%+") {
		return encoded
	}
	return unescape(encoded, true)
}

// QueryWithout returns the raw query without the parameter name, however that is encoded; the others stay byte for
// byte.
func QueryWithout(raw, name string) string {
	if _, ok := QueryLookup(raw, name); !ok {
		return raw
	}
	var kept []string
	for pair := range strings.SplitSeq(raw, "&") {
		if _, drop := QueryLookup(pair, name); !drop {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

// equalDecoded compares the decoded form of encoded with plain.
func equalDecoded(encoded, plain string) bool {
	if encoded == plain && !strings.ContainsAny(encoded, "%+") {
		return true
	}
	at := 0
	for i := 0; i < len(encoded); {
		c, n := decodeAt(encoded, i, true)
		if at == len(plain) || plain[at] != c {
			return false
		}
		at++
		i += n
	}
	return at == len(plain)
}

// CheckQuery refuses, with a *fault.Fault, a raw query that a policy and a backend may read as different parameters:
// incomplete percent-encodings, a ';', which some servers take for an '&', and characters that are not allowed in a
// request target. A query that passes is forwarded exactly as it was checked.
func CheckQuery(raw string) error {
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '%':
			if _, ok := Unhex(raw, i+1); !ok {
				return fault.MalformedRequest.New("The query holds a '%' that two hexadecimal digits do not follow.")
			}
			i += 2
		case c == ';':
			return fault.MalformedRequest.New("The query holds a ';', which some servers take for an '&'; send %3B where the character is meant.")
		case c <= ' ' || c == 0x7f || c == '#':
			return fault.MalformedRequest.New("The query holds a character that must be percent-encoded there.")
		}
	}
	return nil
}
