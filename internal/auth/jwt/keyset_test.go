package jwt

import (
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"
)

func TestKeysThatAreNotForTokensAreLeftOut(t *testing.T) {
	rsaKey, ed := jwkOf("rsa", "", issued()["rsa"].Private.Public()), jwkOf("ed", "", issued()["ed"].Private.Public())
	with := func(key map[string]any, changes ...any) map[string]any {
		m := maps.Clone(key)
		for i := 0; i < len(changes); i += 2 {
			m[changes[i].(string)] = changes[i+1]
		}
		return m
	}
	p256 := jwkOf("p256", "", issued()["p256"].Private.Public())
	for name, c := range map[string]struct {
		key  map[string]any
		want string // "" taken, "silent" left out without a word, else what is said
	}{
		"a key":                          {rsaKey, ""},
		"pinned":                         {with(rsaKey, "alg", "RS512"), ""},
		"without use":                    {with(rsaKey, "use", ""), ""},
		"to verify":                      {with(rsaKey, "key_ops", []string{"verify"}), ""},
		"to encrypt":                     {with(rsaKey, "use", "enc"), "silent"},
		"to sign alone":                  {with(rsaKey, "key_ops", []string{"sign"}), "silent"},
		"pinned to encryption":           {with(rsaKey, "alg", "RSA-OAEP"), "does not fit the key"},
		"pinned to a secret's algorithm": {with(rsaKey, "alg", "HS256"), "does not fit the key"},
		"pinned to none":                 {with(rsaKey, "alg", "none"), "does not fit the key"},
		"pinned to another curve":        {with(p256, "alg", "ES384"), "does not fit the key"},
		"an unknown kind":                {with(rsaKey, "kty", "AKP"), `its kty is "AKP"`},
		"a secret":                       {map[string]any{"kty": "oct", "k": b64(make([]byte, 64)), "kid": "s"}, "a secret has no place"},
		"with its private part":          {with(ed, "d", b64(make([]byte, 32))), "its private part is in the set"},
		"a short RSA key":                {jwkOf("s", "", newRSA(1024).Public()), "1024 bits"},
		"a modulus of one bit":           {with(rsaKey, "n", "AQ"), ""},
		"an exponent of 1":               {with(rsaKey, "e", "AQ"), "exponent"},
		"a huge RSA key":                 {with(rsaKey, "n", b64(new(big.Int).Lsh(big.NewInt(1), 16384).Bytes())), "16385 bits"},
		"a point off its curve":          {with(p256, "y", b64(make([]byte, 32))), "curve"},
		"a curve of others":              {with(p256, "crv", "secp256k1"), ""},
		"a point of another curve":       {with(p256, "crv", elliptic.P384().Params().Name), ""},
		"a short Ed25519 key":            {with(ed, "x", "AAAA"), ""},
		"Ed448":                          {with(ed, "crv", "Ed448", "x", b64(make([]byte, 57))), ""},
		"X25519":                         {with(ed, "crv", "X25519"), ""},
		"no modulus":                     {with(rsaKey, "n", nil), ""},
	} {
		data := encode(map[string]any{"keys": []any{c.key, jwkOf("other", "", issued()["p384"].Private.Public())}})
		set, problems, err := parseSet(data, publicAlgorithms())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		taken := name == "a key" || name == "pinned" || name == "without use" || name == "to verify"
		if n := len(set.keys); taken != (n == 2) {
			t.Errorf("%s: %d keys are taken", name, n)
		}
		switch text := fmt.Sprint(problems); {
		case taken || c.want == "silent":
			if len(problems) > 0 {
				t.Errorf("%s: %s", name, text)
			}
		case len(problems) != 1 || !strings.Contains(text, c.want):
			t.Errorf("%s: want %q, got %s", name, c.want, text)
		}
	}
}

func TestWhatIsNoSetIsRefused(t *testing.T) {
	many := make([]any, mostKeys+1)
	for i := range many {
		many[i] = jwkOf(fmt.Sprint(i), "", issued()["ed"].Private.Public())
	}
	for name, data := range map[string]string{
		"nothing": "", "HTML": "<html>", "null": "null", "a list": "[]", "no keys": "{}", "keys that are none": `{"keys":{}}`, "an empty list": `{"keys":[]}`,
		"keys twice": `{"keys":[],"keys":[]}`, "a key that is a text": `{"keys":["x"]}`, "too many": string(encode(map[string]any{"keys": many})),
		"too large": `{"keys":[],"x":"` + strings.Repeat("x", largestSet) + `"}`, "too deep": `{"keys":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
	} {
		if set, _, err := parseSet([]byte(data), publicAlgorithms()); err == nil {
			t.Errorf("%s is taken for a set: %v", name, set)
		}
	}
}

func TestKeysInAConfig(t *testing.T) {
	der, err := x509.MarshalPKIXPublicKey(issued()["p256"].Private.Public())
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(issued()["p256"].Private)
	if err != nil {
		t.Fatal(err)
	}
	block := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	for name, c := range map[string]struct {
		text, want string
		keys       int
	}{
		"a set":         {string(allIssued()), "", len(issued())},
		"PEM":           {block, "", 1},
		"two of them":   {block + "\n" + block, "", 2},
		"a private key": {string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), "is a PRIVATE KEY", 0},
		"nothing":       {"hello", "neither a JWK Set nor", 0},
		"a bad key":     {`{"keys":[{"kty":"oct"},` + strings.TrimPrefix(string(allIssued()), `{"keys":[`), "a secret has no place", 0},
	} {
		set, err := parseText(c.text, publicAlgorithms())
		if c.want == "" && (err != nil || len(set.keys) != c.keys) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, %v", name, set, err)
		}
	}
	// A key without a kid is for every token, whatever its kid.
	w := way(t, fmt.Sprintf("jwt: %s\naudience: shop\njwks: |\n  %s", issuer, strings.ReplaceAll(strings.TrimSpace(block), "\n", "\n  ")))
	if _, err := w.Recognise(request(good("p256", "ES256"))); err != nil {
		t.Error(err)
	}
	if _, err := w.Recognise(request(good("p384", "ES384"))); err == nil {
		t.Error("a key of another curve passes")
	}
}

func FuzzKeySet(f *testing.F) {
	f.Add(allIssued())
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB"},{"kty":"EC","crv":"P-256","x":"","y":""},{"kty":"OKP","crv":"Ed25519","x":"AA"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, _, err := parseSet(data, publicAlgorithms())
		if err != nil {
			return
		}
		for _, k := range set.keys {
			if len(k.algorithms) == 0 {
				t.Fatalf("a key that fits nothing is taken: %+v", k)
			}
			if again, err := fits(k.raw); err != nil || len(again) < len(k.algorithms) {
				t.Fatalf("%v, %v", again, err)
			}
		}
	})
}
