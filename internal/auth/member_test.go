package auth_test

import (
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/config/doc"
)

func TestMembersThatWouldNotBeWhoTheySeem(t *testing.T) {
	for text, want := range map[string]string{
		"acme: ${env:K}": "",
		"acme: { is: '${env:K}', scopes: ['orders:read', 'orders:write'], claims: { plan: gold } }": "",
		"'': ${env:K}": `weir.yaml:1:1: a caller has no id; auth.sub would be empty, as that of nobody is; for example ` + "`acme: ${env:ACME_KEY}`",
		"acme: { is: '${env:K}', scopes: 'orders:read orders:write' }":  `weir.yaml:1:33: the scope "orders:read orders:write" has a blank; it would be one scope, which nobody asks for; write [orders:read, orders:write]`,
		"acme: { is: '${env:K}', scopes: [a, 'b c'] }":                  `weir.yaml:1:33: the scope "b c" has a blank; it would be one scope, which nobody asks for; write [b, c]`,
		"acme: { is: '${env:K}', scopes: '' }":                          `weir.yaml:1:33: a scope is empty; leave it out`,
		"acme: { is: '${env:K}', claims: { plan: gold, sub: globex } }": `weir.yaml:1:52: the claim sub is the caller's id, "acme"; leave it out`,
	} {
		var members auth.Members
		var ps doc.Problems
		doc.Decode(doc.Parse("weir.yaml", []byte(text), &ps), &members, &ps)
		var told []string
		for _, p := range ps.Sorted() {
			told = append(told, p.String())
		}
		if got := strings.Join(told, "\n"); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", text, got, want)
		}
	}
}
