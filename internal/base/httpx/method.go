package httpx

import "net/http"

// IsSafe tells whether a method asks for no change (RFC 9110 section 9.2.1).
func IsSafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	default:
		return false
	}
}

// IsIdempotent tells whether to ask twice with a method is as good as to ask once (RFC
// 9110 section 9.2.2).
func IsIdempotent(method string) bool {
	return IsSafe(method) || method == http.MethodPut || method == http.MethodDelete
}
