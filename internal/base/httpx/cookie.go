package httpx

import "strings"

// CookieLookup gives the value of the first cookie of that name in one Cookie
// field (RFC 6265 section 4.2.1) and whether there is one, without building a
// map. A value's double quotes are not part of it. Names are case-sensitive.
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
