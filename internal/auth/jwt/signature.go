package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"math/big"
)

// check reports whether signature is the signature of text by one key and one algorithm. It is safe for concurrent use.
type check func(text, signature []byte) bool

// checksOf makes the checks of a key once, for each of the algorithms that fits has found. A token chooses among them
// and has no other influence on how it is checked.
func checksOf(key any, algorithms []string) ([]check, error) {
	list := make([]check, len(algorithms))
	for i, name := range algorithms {
		if list[i] = checkOf(key, name); list[i] == nil {
			return nil, fmt.Errorf("%s is no algorithm of a key of type %T", shorten(name), key)
		}
	}
	return list, nil
}

// checkOf makes one check (RFC 7518 section 3, RFC 8037 section 3.1), or returns nil if there is none.
func checkOf(key any, algorithm string) check {
	hash := hashOf(algorithm)
	switch k := key.(type) {
	case *rsa.PublicKey:
		return rsaCheck(k, algorithm[:2], hash)
	case *ecdsa.PublicKey:
		return ecdsaCheck(k, hash)
	case ed25519.PublicKey:
		return func(text, signature []byte) bool { return ed25519.Verify(k, text, signature) }
	case []byte:
		return func(text, signature []byte) bool {
			mac := hmac.New(hash.New, k)
			mac.Write(text)
			return hmac.Equal(mac.Sum(nil), signature)
		}
	default:
		return nil
	}
}

func rsaCheck(k *rsa.PublicKey, family string, hash crypto.Hash) check {
	switch family {
	case "RS":
		return pkcs1Check(k, hash)
	case "PS":
		options := &rsa.PSSOptions{Hash: hash, SaltLength: rsa.PSSSaltLengthEqualsHash} // RFC 7518 section 3.5
		return func(text, signature []byte) bool {
			var room [sha512.Size]byte
			return rsa.VerifyPSS(k, hash, digest(hash, &room, text), signature, options) == nil
		}
	default:
		return nil
	}
}

// ecdsaCheck expects two numbers of the size of the curve's, one after the other (RFC 7518 section 3.4).
func ecdsaCheck(k *ecdsa.PublicKey, hash crypto.Hash) check {
	size := (k.Curve.Params().BitSize + 7) / 8
	return func(text, signature []byte) bool {
		if len(signature) != 2*size {
			return false
		}
		var room [sha512.Size]byte
		var r, s big.Int
		return ecdsa.Verify(k, digest(hash, &room, text), r.SetBytes(signature[:size]), s.SetBytes(signature[size:]))
	}
}

// hashOf returns the hash of an algorithm, which the last digits of its name give, or 0 for an algorithm that has its
// own.
func hashOf(algorithm string) crypto.Hash {
	switch algorithm[2:] {
	case "256":
		return crypto.SHA256
	case "384":
		return crypto.SHA384
	case "512":
		return crypto.SHA512
	default:
		return 0
	}
}

// digest hashes text into room.
func digest(hash crypto.Hash, room *[sha512.Size]byte, text []byte) []byte {
	switch hash {
	case crypto.SHA256:
		sum := sha256.Sum256(text)
		return room[:copy(room[:], sum[:])]
	case crypto.SHA384:
		sum := sha512.Sum384(text)
		return room[:copy(room[:], sum[:])]
	default:
		*room = sha512.Sum512(text)
		return room[:]
	}
}
