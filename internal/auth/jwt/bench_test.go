package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/auth"
)

// TestARememberedTokenCostsNoAllocation holds the hot path.
func TestARememberedTokenCostsNoAllocation(t *testing.T) {
	w := fixed(t)
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		r := request(good(keyOf[alg], alg))
		n := testing.AllocsPerRun(100, func() {
			if _, err := w.Recognise(r); err != nil {
				t.Fatal(err)
			}
		})
		if n > 0 {
			t.Errorf("%s: %.0f allocations", alg, n)
		}
	}
}

// keyOf is the issuer's key of an algorithm.
var keyOf = map[string]string{"RS256": "rsa", "ES256": "p256", "EdDSA": "ed"}

// BenchmarkRecognise holds what a token costs against the bare signature: warm is a token
// that is remembered, cold one that is not.
func BenchmarkRecognise(b *testing.B) {
	warm, cold := fixed(b), fixed(b, "remember: 0")
	for _, alg := range []string{"RS256", "ES256", "EdDSA"} {
		token := good(keyOf[alg], alg)
		b.Run(alg+"/bare", func(b *testing.B) {
			verify := bare(token, issued()[keyOf[alg]].Private.Public())
			b.ReportAllocs()
			for b.Loop() {
				if !verify() {
					b.Fatal("the signature is wrong")
				}
			}
		})
		for name, w := range map[string]auth.Way{"cold": cold, "warm": warm} {
			b.Run(alg+"/"+name, func(b *testing.B) {
				r := request(token)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := w.Recognise(r); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// bare checks a signature by the standard library alone.
func bare(token string, public crypto.PublicKey) func() bool {
	input := []byte(token[:strings.LastIndexByte(token, '.')])
	sig, err := base64.RawURLEncoding.DecodeString(token[len(input)+1:])
	if err != nil {
		panic(err)
	}
	return func() bool {
		digest := sha256.Sum256(input)
		switch k := public.(type) {
		case *rsa.PublicKey:
			return rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], sig) == nil
		case *ecdsa.PublicKey:
			return ecdsa.Verify(k, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
		case ed25519.PublicKey:
			return ed25519.Verify(k, input, sig)
		default:
			return false
		}
	}
}
