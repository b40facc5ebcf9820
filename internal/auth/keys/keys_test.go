package keys_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/auth/keys"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config/doc"
)

const acme, other = "acme-0123456789abcdef", "other-0123456789abcdef"

func digest(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func build(t *testing.T, text string) (auth.Way, error) {
	t.Helper()
	t.Setenv("ACME_KEY", acme)
	t.Setenv("SHORT_KEY", "short")
	var ps doc.Problems
	c := keys.Definition().New()
	doc.Decode(doc.Parse("weir.yaml", []byte(text), &ps), c, &ps)
	if ps.Failed() {
		t.Fatal(ps.Sorted())
	}
	return keys.Definition().Build(auth.Env{
		Name: "partner", Secret: secret.Resolve,
		Keep: func(_ string, makeIt func() (any, func(context.Context), error)) (any, error) {
			v, _, err := makeIt()
			return v, err
		},
	}, c)
}

func ask(w auth.Way, target string, lines ...string) (*exchange.Identity, error) {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header[name] = append(r.Header[name], value)
	}
	return w.Recognise(exchange.With(r, &exchange.Exchange{Query: r.URL.RawQuery}))
}

func TestHoldersAreRecognisedByTheirKeys(t *testing.T) {
	way, err := build(t, `
keys:
  acme: ["${env:ACME_KEY}", "`+digest("acme-the-next-one-0123")+`"]
  other: { is: "`+digest(other)+`", scopes: orders:read, claims: { plan: gold } }
from: [header:X-API-Key, query:key]
`)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		target string
		lines  []string
		want   string // the holder, "absent" or "refused"
	}{
		"a key":                       {"/", []string{"X-Api-Key: " + acme}, "acme"},
		"its successor":               {"/", []string{"X-Api-Key: acme-the-next-one-0123"}, "acme"},
		"a digest is no key":          {"/", []string{"X-Api-Key: " + digest(other)}, "refused"},
		"of another":                  {"/", []string{"X-Api-Key: " + other}, "other"},
		"in the query":                {"/?key=" + other, nil, "other"},
		"a wrong one":                 {"/", []string{"X-Api-Key: " + acme + "x"}, "refused"},
		"the beginning of one":        {"/", []string{"X-Api-Key: " + acme[:10]}, "refused"},
		"an empty one":                {"/", []string{"X-Api-Key: "}, "refused"},
		"a long one":                  {"/", []string{"X-Api-Key: " + strings.Repeat("a", 5000)}, "refused"},
		"two":                         {"/", []string{"X-Api-Key: " + acme, "X-Api-Key: " + acme}, "refused"},
		"in header and query":         {"/?key=" + other, []string{"X-Api-Key: " + acme}, "refused"},
		"in a field that looks alike": {"/", []string{"X_Api_Key: " + acme}, "absent"},
		"none":                        {"/", nil, "absent"},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := ask(way, c.target, c.lines...)
			got := "refused"
			switch _, refused := errors.AsType[*auth.RefusedError](err); {
			case err == nil:
				got = id.Subject
			case errors.Is(err, auth.ErrAbsent):
				got = "absent"
			case !refused:
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("%s (%v), not %s", got, err, c.want)
			}
		})
	}
	id, _ := ask(way, "/", "X-Api-Key: "+other)
	if id.Method != "partner" || id.Scopes[0] != "orders:read" || id.Claims.All()["plan"] != "gold" || id.Claims.All()["sub"] != "other" || id.Issuer != "auth:partner" {
		t.Errorf("other is %+v", id)
	}
}

func TestAKeyInAuthorizationHasAScheme(t *testing.T) {
	way, err := build(t, "keys: { acme: \"${env:ACME_KEY}\" }\nfrom: header:Authorization Token\n")
	if err != nil {
		t.Fatal(err)
	}
	if id, err := ask(way, "/", "Authorization: token "+acme); err != nil || id.Subject != "acme" || way.Scheme != "Token" {
		t.Errorf("%v, %v, scheme %s", id, err, way.Scheme)
	}
}

func TestKeysThatCouldBeFoundOrConfusedAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"keys: { acme: " + acme + " }":                                     "acme: the key stands in the config itself",
		"keys: { acme: \"${env:SHORT_KEY}\" }":                             "acme: ${env:SHORT_KEY}: the key has 5 characters",
		"keys: { acme: \"sha256:abc\" }":                                   "acme: sha256: is followed by the 64 hexadecimal digits",
		"keys: { acme: \"${env:NOT_SET_ANYWHERE}\" }":                      "acme: environment variable NOT_SET_ANYWHERE is not set",
		"keys: { acme: \"${env:ACME_KEY}\", b: \"" + digest(acme) + "\" }": "b: this is a key of acme already",
	} {
		if _, err := build(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want %q, got %v", text, want, err)
		}
	}
}

func TestAKeyIsNeverPrinted(t *testing.T) {
	_, err := build(t, "keys: { acme: "+acme+" }")
	if strings.Contains(err.Error(), acme) {
		t.Errorf("the error tells the key: %v", err)
	}
}

func BenchmarkRecognise(b *testing.B) {
	c := keys.Definition().New()
	var ps doc.Problems
	doc.Decode(doc.Parse("weir.yaml", []byte("keys: { acme: \""+digest(acme)+"\" }"), &ps), c, &ps)
	way, err := keys.Definition().Build(auth.Env{Secret: secret.Resolve}, c)
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-Api-Key", acme)
	r = exchange.With(r, &exchange.Exchange{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := way.Recognise(r); err != nil {
			b.Fatal(err)
		}
	}
}
