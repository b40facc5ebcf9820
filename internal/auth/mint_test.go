package auth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/secret"
)

// mints is a way whose backends get tokens of the gateway.
func mints(t *testing.T, text string) (*auth.Way, error) {
	t.Helper()
	f, problems := told(t, text)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	w := &auth.Way{Common: auth.Common{Forward: f}}
	err := w.Prepare(auth.Env{Name: "customer", Secret: secret.Resolve, Keep: func(_ string, makeIt func() (any, func(context.Context), error)) (any, error) {
		v, _, err := makeIt()
		return v, err
	}})
	return w, err
}

func pemFile(t *testing.T, k crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// claimsOf checks a token with published keys, as a backend does.
func claimsOf(t *testing.T, token string, keys []json.RawMessage) map[string]any {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), `"d":`) {
		t.Fatalf("a private key is published: %s", raw)
	}
	set, err := jwk.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := jws.Verify([]byte(token), jws.WithKeySet(set))
	if err != nil {
		t.Fatalf("%v of %s by %s", err, token, raw)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

var ada = &exchange.Identity{
	Method: "customer", Issuer: "https://id.example.com/", Subject: "ada", Scopes: []string{"a", "b"},
	Claims: exchange.ClaimsOf(map[string]any{"email": "ada@example.com", "n": int64(9007199254740993), "sub": "ada", "secret": "x"}),
}

func TestBackendsCanCheckTheGatewaysTokens(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for text, c := range map[string]struct {
		alg  string
		keys int
	}{
		"jwt": {"ES256", 1},
		"jwt: { key: " + pemFile(t, rsaKey) + " }":                                                           {"RS256", 1},
		"jwt: { key: " + pemFile(t, ecKey) + " }":                                                            {"ES384", 1},
		"jwt: { key: [" + pemFile(t, edKey) + ", " + pemFile(t, rsaKey) + "], claims: [email, n, nothing] }": {"EdDSA", 2},
	} {
		w, err := mints(t, text)
		if err != nil {
			t.Fatal(err)
		}
		r := request("/")
		r.Header.Set("Authorization", "Bearer of the client")
		if f := w.Tell(r, ada); f != nil {
			t.Fatal(f)
		}
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		header, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
		if !ok || err != nil || !strings.Contains(string(header), `"alg":"`+c.alg+`"`) || len(w.PublicKeys()) != c.keys {
			t.Errorf("%s: %s, %d keys", text, header, len(w.PublicKeys()))
		}
		claims := claimsOf(t, token, w.PublicKeys())
		if claims["sub"] != "ada" || claims["iss"] != "weir" || claims["idp"] != "https://id.example.com/" || claims["scope"] != "a b" || claims["secret"] != nil {
			t.Errorf("%s: %v", text, claims)
		}
		if ends := claims["exp"].(float64) - claims["iat"].(float64); ends != 60 {
			t.Errorf("it counts for %.0f seconds", ends)
		}
		if strings.Contains(text, "claims") && (claims["email"] != "ada@example.com" || claims["nothing"] != nil) {
			t.Errorf("%v", claims)
		}
	}
}

// TestATokenIsMadeOnceForAWhile holds that a signature is not paid for each request, that what a
// backend gets is never more than half over, and that it ends with the caller's own.
func TestATokenIsMadeOnceForAWhile(t *testing.T) {
	w, err := mints(t, "jwt: { header: x-identity, lifetime: 2m, audience: orders }")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		token := func(who *exchange.Identity) string {
			r := request("/")
			if f := w.Tell(r, who); f != nil {
				t.Fatal(f)
			}
			return r.Header.Get("X-Identity")
		}
		first := token(ada)
		time.Sleep(59 * time.Second) //nolint:forbidigo // the bubble's time
		if token(ada) != first {
			t.Error("another token was made while the first was not half over")
		}
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's time
		if token(ada) == first {
			t.Error("a token goes on that is half over")
		}
		ending := &exchange.Identity{Subject: "eve", Claims: exchange.ClaimsOf(map[string]any{"exp": time.Now().Unix() + 10})}
		if claims := claimsOf(t, token(ending), w.PublicKeys()); claims["exp"].(float64) != float64(time.Now().Unix()+10) || claims["aud"].([]any)[0] != "orders" {
			t.Errorf("%v", claims)
		}
		half := &exchange.Identity{Subject: "bob", Claims: exchange.ClaimsOf(map[string]any{"exp": json.Number(fmt.Sprintf("%d.5", time.Now().Unix()+10))})}
		if claims := claimsOf(t, token(half), w.PublicKeys()); claims["exp"].(float64) != float64(time.Now().Unix()+10) {
			t.Errorf("the gateway's own token outlives the caller's: %v", claims)
		}
	})
	if got := w.Forward.Managed(); len(got) != 1 || got[0] != "x-identity" {
		t.Errorf("managed are %v", got)
	}
}

// TestAScopeWithABlankIsNotTwo: issuers list what their users have named, as groups, and who may name
// one "guests admin" is no admin. Backends split the text of scope at its blanks (RFC 8693 section 4.2).
func TestAScopeWithABlankIsNotTwo(t *testing.T) {
	w, err := mints(t, "jwt")
	if err != nil {
		t.Fatal(err)
	}
	for want, scopes := range map[string][]string{"a b": {"a", "guests admin", "b", "tab\tadmin", "", "wide\u2003admin"}, "": {" admin"}} {
		r := request("/")
		if f := w.Tell(r, &exchange.Identity{Subject: "ada", Scopes: scopes}); f != nil {
			t.Fatal(f)
		}
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if got, _ := claimsOf(t, token, w.PublicKeys())["scope"].(string); got != want {
			t.Errorf("%q are told as %q", scopes, got)
		}
	}
}

func TestMintsThatCannotBe(t *testing.T) {
	for text, want := range map[string]string{
		"jwt: { lifetime: 2h }":           "lifetime is not between",
		"jwt: { header: Cookie }":         "can carry no token",
		"jwt: { header: Content-Length }": "can carry no token",
		"jwt: { header: User-Agent }":     "can carry no token",
		"jwt: { issuer: '' }":             "issuer is empty",
		"jwt: { claims: [sub] }":          "the gateway's own",
		"jwt: { audiense: x }":            "did you mean \"audience\"",
		"{ token: true, jwt: {} }":        "would stand in one field",
		"jwt: yes":                        "is given where a map is expected",
	} {
		_, problems := told(t, text)
		if len(problems) != 1 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: want %q, got %v", text, want, problems)
		}
	}
	t.Setenv("NO_PEM", "hello")
	t.Setenv("PUBLIC", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
	for text, want := range map[string]string{"${env:NO_PEM}": "no PEM", "${env:PUBLIC}": "PUBLIC KEY, not a private key", "${env:NOT_SET_ANYWHERE}": "is not set"} {
		if _, err := mints(t, "jwt: { key: '"+text+"' }"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want %q, got %v", text, want, err)
		}
	}
	weak, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mints(t, "jwt: { key: "+pemFile(t, weak)+" }"); err == nil || !strings.Contains(err.Error(), "P-256, P-384 or P-521") {
		t.Errorf("a weak key: %v", err)
	}
}
