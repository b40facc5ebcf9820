// Package jwttest makes tokens for tests: right ones, and ones such as attackers send. It makes them by hand with the
// standard library alone, so that the code under test does not also make the tokens.
package jwttest

import (
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
	"hash"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"
)

// Issuer is the issuer of the tokens.
const Issuer = "https://id.example.com/"

// Signer is a private key with its kid and alg in a JWK Set.
type Signer struct {
	KID, Alg string
	Private  crypto.Signer
}

// Issued returns the keys of the issuer. They are made once, because RSA keys take long.
var Issued = sync.OnceValue(func() map[string]Signer {
	return map[string]Signer{
		"rsa":  {"rsa", "", NewRSA(2048)},
		"ps":   {"ps", "PS256", NewRSA(2048)},
		"p256": {"p256", "", newEC(elliptic.P256())},
		"p384": {"p384", "ES384", newEC(elliptic.P384())},
		"p521": {"p521", "", newEC(elliptic.P521())},
		"ed":   {"ed", "", newEd()},
	}
})

// Strangers returns keys of someone else, one of each kind.
var Strangers = sync.OnceValue(func() map[string]crypto.Signer {
	return map[string]crypto.Signer{"rsa": NewRSA(2048), "p256": newEC(elliptic.P256()), "ed": newEd()}
})

// NewRSA makes an RSA key.
func NewRSA(bits int) crypto.Signer {
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

// B64 encodes b in base64url without padding.
func B64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// JWK returns a public key in the form of RFC 7517.
func JWK(kid, alg string, public crypto.PublicKey) map[string]any {
	m := map[string]any{"use": "sig"}
	if kid != "" {
		m["kid"] = kid
	}
	if alg != "" {
		m["alg"] = alg
	}
	switch k := public.(type) {
	case *rsa.PublicKey:
		m["kty"], m["n"], m["e"] = "RSA", B64(k.N.Bytes()), B64(big.NewInt(int64(k.E)).Bytes())
	case *ecdsa.PublicKey:
		raw, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		half := (len(raw) - 1) / 2
		m["kty"], m["crv"], m["x"], m["y"] = "EC", k.Params().Name, B64(raw[1:1+half]), B64(raw[1+half:])
	case ed25519.PublicKey:
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", B64(k)
	}
	return m
}

// Encode returns v as JSON.
func Encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// Set returns the JWK Set of signers.
func Set(signers ...Signer) []byte {
	keys := []any{}
	for _, s := range signers {
		keys = append(keys, JWK(s.KID, s.Alg, s.Private.Public()))
	}
	return Encode(map[string]any{"keys": keys})
}

// All returns the JWK Set of all issued keys.
func All() []byte {
	var list []Signer
	for _, s := range Issued() {
		list = append(list, s)
	}
	return Set(list...)
}

// Claims returns valid claims with changes; a nil value removes a claim.
func Claims(changes ...any) []byte {
	now := time.Now().Unix()
	m := map[string]any{"iss": Issuer, "aud": "shop", "sub": "ada", "exp": now + 600, "iat": now, "scope": "orders:read orders:write"}
	for pair := range slices.Chunk(changes, 2) {
		name, _ := pair[0].(string)
		if pair[1] == nil {
			delete(m, name)
		} else {
			m[name] = pair[1]
		}
	}
	return Encode(m)
}

// Sealed signs header and payload as they are.
func Sealed(header, payload []byte, sign func(input []byte) []byte) string {
	input := B64(header) + "." + B64(payload)
	return input + "." + B64(sign([]byte(input)))
}

// By signs with a key as an algorithm demands, whether they fit each other or not.
func By(alg string, private crypto.Signer) func([]byte) []byte {
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

// ByHMAC signs with a secret.
func ByHMAC(secret []byte, h func() hash.Hash) func([]byte) []byte {
	return func(input []byte) []byte {
		m := hmac.New(h, secret)
		m.Write(input)
		return m.Sum(nil)
	}
}

// Good returns a valid token signed with a key, with changed claims.
func Good(name, alg string, changes ...any) string {
	s := Issued()[name]
	return Sealed(Encode(map[string]any{"alg": alg, "kid": s.KID, "typ": "JWT"}), Claims(changes...), By(alg, s.Private))
}

// Hashes are the hashes of the HMAC algorithms.
var Hashes = map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}
