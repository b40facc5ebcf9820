package jwt

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"testing"

	"github.com/lestrrat-go/jwx/v3/jws/jwsbb"
)

// TestSignaturesAreJudgedAsJwxDoes plays signatures of each key by each algorithm, right ones and
// such that are damaged, against each algorithm that the key is for.
func TestSignaturesAreJudgedAsJwxDoes(t *testing.T) {
	text := []byte("header.payload")
	secret := bytes.Repeat([]byte("secret"), 12)
	mac := map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}
	raws := map[string]any{"secret": secret}
	for name, s := range issued() {
		raws[name] = s.Private.Public()
	}
	for name, raw := range raws {
		algorithms, err := fits(raw)
		if err != nil {
			t.Fatal(err)
		}
		k, err := newKey("", "", raw, algorithms)
		if err != nil {
			t.Fatal(err)
		}
		for _, signer := range algorithms {
			var signature []byte
			if h, ok := mac[signer]; ok {
				signature = byHMAC(secret, h)(text)
			} else {
				signature = by(signer, issued()[name].Private)(text)
			}
			for _, algorithm := range algorithms {
				alike := algorithm == signer || name == "ed" // two names of one
				if k.signed(algorithm, text, signature) != alike {
					t.Errorf("%s: a signature by %s counts for %s: %v", name, signer, algorithm, !alike)
				}
				for what, damaged := range damages(signature) {
					theirs := jwsbb.Verify(raw, algorithm, text, damaged) == nil
					if ours := k.signed(algorithm, text, damaged); ours || ours != theirs {
						t.Errorf("%s, %s for %s, %s: it counts: %v, for jwx %v", name, signer, algorithm, what, ours, theirs)
					}
				}
			}
			if k.signed(signer, []byte("header.Payload"), signature) {
				t.Errorf("%s, %s: it counts for another text", name, signer)
			}
		}
	}
}

// damages are what a signature is not, by what was done to it.
func damages(signature []byte) map[string][]byte {
	list := map[string][]byte{
		"nothing": {}, "cut": signature[:len(signature)-1], "without its first byte": signature[1:], "longer": append(bytes.Clone(signature), 0),
		"after a zero": append([]byte{0}, signature...), "zeros": make([]byte, len(signature)), "twice": append(bytes.Clone(signature), signature...),
		"ones": bytes.Repeat([]byte{0xff}, len(signature)),
	}
	for _, at := range []int{0, len(signature) / 2, len(signature) - 1} {
		flipped := bytes.Clone(signature)
		flipped[at] ^= 1
		list["a bit flipped at "+string(rune('a'+at%26))] = flipped
	}
	return list
}

func TestAKeyChecksOnlyByItsOwnAlgorithms(t *testing.T) {
	text := []byte("header.payload")
	pinned, err := newKey("rsa", "RS256", issued()["rsa"].Private.Public(), publicAlgorithms())
	if err != nil {
		t.Fatal(err)
	}
	for _, algorithm := range append(publicAlgorithms(), "HS256", "none", "", "RS") {
		signature := by("RS256", issued()["rsa"].Private)(text)
		if got := pinned.signed(algorithm, text, signature); got != (algorithm == "RS256") {
			t.Errorf("by %q: %v", algorithm, got)
		}
	}
	for _, strange := range []struct {
		key       any
		algorithm string
	}{{issued()["rsa"].Private, "RS256"}, {issued()["rsa"].Private.Public(), "ES256"}, {nil, "RS256"}, {"text", "HS256"}} {
		if checks, err := checksOf(strange.key, []string{strange.algorithm}); err == nil {
			t.Errorf("%s of a %T: %v", strange.algorithm, strange.key, checks)
		}
	}
}
