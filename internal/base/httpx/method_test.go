package httpx_test

import (
	"testing"

	"github.com/weir-gateway/weir/internal/base/httpx"
)

func TestMethodsAreSafeOrIdempotentAsRFC9110Says(t *testing.T) {
	for method, want := range map[string][2]bool{
		"GET": {true, true}, "HEAD": {true, true}, "OPTIONS": {true, true}, "TRACE": {true, true},
		"PUT": {false, true}, "DELETE": {false, true},
		"POST": {false, false}, "PATCH": {false, false}, "CONNECT": {false, false}, "get": {false, false}, "": {false, false},
	} {
		if got := [2]bool{httpx.IsSafe(method), httpx.IsIdempotent(method)}; got != want {
			t.Errorf("%q: safe and idempotent are %v, want %v", method, got, want)
		}
	}
}
