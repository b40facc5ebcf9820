package jwt

import (
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/auth/jwt/jwttest"
)

// TestEveryAlgorithmPasses is what the attacks are held against: tokens that are right.
func TestEveryAlgorithmPasses(t *testing.T) {
	w := fixed(t)
	for alg, name := range map[string]string{
		"RS256": "rsa", "RS384": "rsa", "RS512": "rsa", "PS256": "ps", "PS384": "rsa", "PS512": "rsa",
		"ES256": "p256", "ES384": "p384", "ES512": "p521", "EdDSA": "ed", "Ed25519": "ed",
	} {
		for range 2 { // the second time from memory
			id, err := w.Recognise(request(good(name, alg)))
			if err != nil {
				t.Errorf("%s: %v", alg, err)
			} else if id.Subject != "ada" || id.Issuer != issuer || id.Method != "customer" || strings.Join(id.Scopes, " ") != "orders:read orders:write" {
				t.Errorf("%s: %+v", alg, id)
			}
		}
	}
}

// trap is a server that nobody may ever connect to.
func trap(t *testing.T) (address string, connections *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections = new(atomic.Int64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String(), connections
}

// TestAttacksAreRefused holds RFC 8725 and what was found in others' libraries: each
// token looks right in all but one thing.
func TestAttacksAreRefused(t *testing.T) {
	address, connections := trap(t)
	w := fixed(t)
	for class, list := range jwttest.Attacks(address) {
		if len(list) == 0 {
			t.Errorf("there is no attack of the class %q", class)
		}
		for name, token := range list {
			id, err := w.Recognise(request(token))
			refused, ok := errors.AsType[*auth.RefusedError](err)
			if !ok || id != nil {
				t.Errorf("%s, %s: %v, %v", class, name, id, err)
				continue
			}
			for part := range strings.SplitSeq(token, ".") {
				if len(part) > 40 && strings.Contains(refused.Reason, part[:40]) {
					t.Errorf("%s, %s: the reason holds the token: %s", class, name, refused.Reason)
				}
			}
			if len(refused.Reason) > 400 {
				t.Errorf("%s, %s: the reason has %d bytes", class, name, len(refused.Reason))
			}
		}
	}
	if n := connections.Load(); n > 0 {
		t.Errorf("%d connections were made to where a token said", n)
	}
}
