package httpx

import "net/http"

// IsSafe reports whether a method asks for no change (RFC 9110 section 9.2.1).
func IsSafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	default:
		return false
	}
}

// IsIdempotent reports whether sending a request with this method twice has the same effect as sending it once (RFC
// 9110 section 9.2.2).
func IsIdempotent(method string) bool {
	return IsSafe(method) || method == http.MethodPut || method == http.MethodDelete
}
