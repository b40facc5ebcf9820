package httpx

import (
	"iter"
	"strings"
)

// CookieLookup returns the value of the first cookie of that name in one Cookie field (RFC 6265 section 4.2.1) and
// whether there is one, without building a map. Double quotes around a value are removed. Names are case-sensitive.
func CookieLookup(field, name string) (string, bool) {
	for field != "" {
		var pair string
		pair, field, _ = strings.Cut(field, ";")
		key, value, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
		if !ok || key != name {
			continue
		}
		if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
			value = value[1 : n-1]
		}
		return value, true
	}
	return "", false
}

// CookieValues yields the values of all cookies of that name in one Cookie field.
func CookieValues(field, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for pair := range strings.SplitSeq(field, ";") {
			if value, ok := CookieLookup(pair, name); ok && !yield(value) {
				return
			}
		}
	}
}

// CookiesWithout returns a Cookie field without the cookies of that name, or "" if none is left. The others, and what
// separates them, stay byte for byte.
func CookiesWithout(field, name string) string {
	if _, ok := CookieLookup(field, name); !ok {
		return field
	}
	kept := make([]byte, 0, len(field))
	for left, first := field, true; left != ""; {
		pair, rest, more := strings.Cut(left, ";")
		left = rest
		if _, dropped := CookieLookup(pair, name); dropped {
			continue
		}
		if first {
			pair = strings.TrimLeft(pair, " \t")
		} else {
			kept = append(kept, ';')
		}
		kept, first = append(kept, pair...), false
		if more && rest == "" {
			kept = append(kept, ';')
		}
	}
	if strings.Trim(string(kept), "; \t") == "" {
		return ""
	}
	return string(kept)
}
