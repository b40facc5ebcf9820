package jwt

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// vector is a line of testdata/wycheproof: a group of keys, or a token.
type vector struct {
	Group   string            `json:"group"`
	Keys    []json.RawMessage `json:"keys"`
	ID      int               `json:"id"`
	Comment string            `json:"comment"`
	JWS     string            `json:"jws"`
	Valid   bool              `json:"valid"`
}

// otherwise are the vectors that are judged in another way here, by comment, and why.
var otherwise = map[string]string{
	"invalidBase64Padding":              "passes: the vector is the right token, without any padding",
	"invalidBase64PaddingInPayload":     "passes: the same",
	"emptyPayload":                      "is refused: a token has claims",
	"rejectsDuplicateKid":               "passes: of several keys of one kid each is tried",
	"Figure20":                          "is refused: the key says PS256 and the token PS384",
	"Figure27":                          "is refused: the key is for ES521, which is no algorithm",
	"InvalidCharacterInsertedInHeader":  "is refused: a character that is not of the alphabet is not skipped",
	"InvalidCharacterInsertedInPayload": "is refused: the same",
}

func TestVectorsOfWycheproof(t *testing.T) {
	for _, name := range []string{"signature.jsonl", "key.jsonl"} {
		data, err := os.ReadFile(filepath.Join("testdata", "wycheproof", name))
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(bytes.NewReader(data))
		lines.Buffer(nil, 1<<20)
		var group string
		var keys *keySet
		seen, passed := 0, 0
		for lines.Scan() {
			var v vector
			if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
				t.Fatal(err)
			}
			if v.Keys != nil {
				group, keys = v.Group, keysOf(t, v.Keys)
				continue
			}
			seen++
			_, other := otherwise[v.Comment]
			got := passes(keys, v.JWS)
			if got {
				passed++
			}
			if got == (v.Valid == other) {
				t.Errorf("%s, %s %d (%s): passes is %v", name, group, v.ID, v.Comment, got)
			}
		}
		if lines.Err() != nil || seen < 20 || passed < 5 {
			t.Errorf("%s: %d vectors, %d of them pass, %v", name, seen, passed, lines.Err())
		}
	}
}

// passes holds a signature as the verifier does; the payloads of the vectors are no claims.
func passes(keys *keySet, text string) bool {
	t, _, err := open([]byte(text), text, readHeader)
	if err != nil {
		return false
	}
	return t.signedBy(keys.candidates(nil, &t.header)) != nil
}

// keysOf makes a set of JWKs: secrets as those of a config, all others as an issuer's.
func keysOf(t *testing.T, list []json.RawMessage) *keySet {
	t.Helper()
	secrets := &keySet{}
	for _, raw := range list {
		var jwk struct{ Kty, K, Kid, Alg, Use string }
		if err := json.Unmarshal(raw, &jwk); err != nil {
			t.Fatal(err)
		}
		if jwk.Kty != "oct" {
			if set, _, err := parseSet(encode(map[string]any{"keys": list}), publicAlgorithms()); err == nil {
				return set
			}
			return &keySet{}
		}
		secret, _, err := decode(nil, []byte(jwk.K))
		if err != nil {
			continue
		}
		if k, err := newKey(jwk.Kid, jwk.Alg, secret, []string{"HS256", "HS384", "HS512"}); err == nil {
			secrets.keys = append(secrets.keys, k)
		}
	}
	return secrets
}
