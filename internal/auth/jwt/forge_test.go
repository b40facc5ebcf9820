package jwt

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/auth/jwt/jwttest"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config/doc"
)

const issuer = jwttest.Issuer

type signer = jwttest.Signer

// What tokens are made of, by the names that the tests here have for it.
var (
	issued, stranger, allIssued = jwttest.Issued, jwttest.Strangers, jwttest.All
	good, claims, sealed        = jwttest.Good, jwttest.Claims, jwttest.Sealed
	by, byHMAC, hashes          = jwttest.By, jwttest.ByHMAC, jwttest.Hashes
	b64, encode, jwkOf, set     = jwttest.B64, jwttest.Encode, jwttest.JWK, jwttest.Set
	newRSA                      = jwttest.NewRSA
)

// keeper is the compiler's keep, and ends what it kept with the test.
type keeper struct {
	parts map[string]any
	ends  []func(context.Context)
}

func newKeeper(t testing.TB) *keeper {
	t.Helper()
	k := &keeper{parts: map[string]any{}}
	t.Cleanup(func() {
		for _, end := range k.ends {
			end(context.Background())
		}
	})
	return k
}

func (k *keeper) keep(identity string, makeIt func() (any, func(context.Context), error)) (any, error) {
	if v, ok := k.parts[identity]; ok {
		return v, nil
	}
	v, end, err := makeIt()
	if err == nil {
		k.parts[identity] = v
		k.ends = append(k.ends, end)
	}
	return v, err
}

func configOf(t testing.TB, text string) *Config {
	t.Helper()
	var ps doc.Problems
	c := Definition().New().(*Config)
	doc.Decode(doc.Parse("weir.yaml", []byte(text), &ps), c, &ps)
	if ps.Failed() {
		t.Fatalf("%v\n%s", ps.Sorted(), text)
	}
	return c
}

func env(t testing.TB, k *keeper) auth.Env {
	t.Helper()
	return auth.Env{
		Name: "customer", Secret: secret.Resolve, Keep: k.keep, Log: slog.New(slog.DiscardHandler),
		Await: func(_ string, ready <-chan struct{}) { <-ready },
	}
}

func way(t testing.TB, text string) auth.Way {
	t.Helper()
	w, err := Definition().Build(env(t, newKeeper(t)), configOf(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// fixed is a way whose keys stand in the config.
func fixed(t testing.TB, more ...string) auth.Way {
	t.Helper()
	return way(t, fmt.Sprintf("jwt: %s\naudience: shop\njwks: '%s'\n%s", issuer, allIssued(), strings.Join(more, "\n")))
}

func request(token string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return exchange.With(r, &exchange.Exchange{})
}
