package httpx

import (
	"strings"

	"github.com/weir-gateway/weir/internal/base/fault"
)

// CheckMethod refuses, with a *fault.Fault, what is no method token (RFC 9110
// section 9.1). Methods are case-sensitive: "get" is valid and is not GET.
func CheckMethod(method string) error {
	if !IsToken(method) {
		return fault.MalformedRequest.New("The method is not an HTTP token.")
	}
	return nil
}

// IsToken holds for the token of RFC 9110 section 5.6.2: names of methods,
// fields and the like.
func IsToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alphanumeric && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
