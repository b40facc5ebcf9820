package jwt

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Tokens are made here by hand, with the standard library alone, so that what checks them
// is not what made them.

const issuer = "https://id.example.com/"

// signer is a key that signs, and how it stands in a JWK Set.
type signer struct {
	kid, alg string
	private  crypto.Signer
}

// issued are the keys of the issuer, made once: RSA keys take long.
var issued = sync.OnceValue(func() map[string]signer {
	return map[string]signer{
		"rsa":  {"rsa", "", newRSA(2048)},
		"ps":   {"ps", "PS256", newRSA(2048)},
		"p256": {"p256", "", newEC(elliptic.P256())},
		"p384": {"p384", "ES384", newEC(elliptic.P384())},
		"p521": {"p521", "", newEC(elliptic.P521())},
		"ed":   {"ed", "", newEd()},
	}
})

// stranger is somebody else's key of each kind.
var stranger = sync.OnceValue(func() map[string]crypto.Signer {
	return map[string]crypto.Signer{"rsa": newRSA(2048), "p256": newEC(elliptic.P256()), "ed": newEd()}
})

func newRSA(bits int) crypto.Signer {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return k
}

func newEC(c elliptic.Curve) crypto.Signer {
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

func newEd() crypto.Signer {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwkOf is a public key as RFC 7517 has it.
func jwkOf(kid, alg string, public crypto.PublicKey) map[string]any {
	m := map[string]any{"use": "sig"}
	if kid != "" {
		m["kid"] = kid
	}
	if alg != "" {
		m["alg"] = alg
	}
	switch k := public.(type) {
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = "RSA", b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes())
	case *ecdsa.PublicKey:
		raw, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		half := (len(raw) - 1) / 2
		m["kty"], m["crv"], m["x"], m["y"] = "EC", k.Params().Name, b64(raw[1:1+half]), b64(raw[1+half:])
	case ed25519.PublicKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", b64(k)
	}
	return m
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// set is a JWK Set of signers.
func set(signers ...signer) []byte {
	keys := []any{}
	for _, s := range signers {
		keys = append(keys, jwkOf(s.kid, s.alg, s.private.Public()))
	}
	return encode(map[string]any{"keys": keys})
}

func allIssued() []byte {
	var list []signer
	for _, s := range issued() {
		list = append(list, s)
	}
	return set(list...)
}

// claims are good ones, with changes; a nil value takes one away.
func claims(changes ...any) []byte {
	now := time.Now().Unix()
	m := map[string]any{"iss": issuer, "aud": "shop", "sub": "ada", "exp": now + 600, "iat": now, "scope": "orders:read orders:write"}
	for i := 0; i < len(changes); i += 2 {
		name, _ := changes[i].(string)
		if changes[i+1] == nil {
			delete(m, name)
		} else {
			m[name] = changes[i+1]
		}
	}
	return encode(m)
}

// sealed signs header and payload as they are.
func sealed(header, payload []byte, sign func(input []byte) []byte) string {
	input := b64(header) + "." + b64(payload)
	return input + "." + b64(sign([]byte(input)))
}

// by signs with a key in the way of an algorithm, whether they fit or not.
func by(alg string, private crypto.Signer) func([]byte) []byte {
	return func(input []byte) []byte {
		newHash, h := sha256.New, crypto.SHA256
		switch {
		case strings.HasSuffix(alg, "384"):
			newHash, h = sha512.New384, crypto.SHA384
		case strings.HasSuffix(alg, "512"):
			newHash, h = sha512.New, crypto.SHA512
		}
		digest := newHash()
		digest.Write(input)
		var sig []byte
		var err error
		switch k := private.(type) {
		case *rsa.PrivateKey:
			if strings.HasPrefix(alg, "PS") {
				sig, err = rsa.SignPSS(rand.Reader, k, h, digest.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
			} else {
				sig, err = rsa.SignPKCS1v15(rand.Reader, k, h, digest.Sum(nil))
			}
		case *ecdsa.PrivateKey:
			var r, s *big.Int
			r, s, err = ecdsa.Sign(rand.Reader, k, digest.Sum(nil))
			size := (k.Params().BitSize + 7) / 8
			sig = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
		case ed25519.PrivateKey:
			sig = ed25519.Sign(k, input)
		}
		if err != nil {
			panic(err)
		}
		return sig
	}
}

func byHMAC(secret []byte, h func() hash.Hash) func([]byte) []byte {
	return func(input []byte) []byte {
		m := hmac.New(h, secret)
		m.Write(input)
		return m.Sum(nil)
	}
}

// good is a right token of a key, with changed claims.
func good(name, alg string, changes ...any) string {
	s := issued()[name]
	return sealed(encode(map[string]any{"alg": alg, "kid": s.kid, "typ": "JWT"}), claims(changes...), by(alg, s.private))
}

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

// hashes are those of HMAC's algorithms.
var hashes = map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}
