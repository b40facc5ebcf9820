package jwt

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
)

// algorithm is the name of a signature algorithm (RFC 7518 section 3.1, RFC 8037, RFC 9864).
type algorithm struct{ name string }

// secretAlgorithms returns the algorithms that need a shared secret, with the minimum length of the secret in bytes
// (RFC 7518 section 3.2).
func secretAlgorithms() map[string]int { return map[string]int{"HS256": 32, "HS384": 48, "HS512": 64} }

// publicAlgorithms returns the algorithms that are accepted unless a config says otherwise. `none` is not accepted in
// any spelling.
func publicAlgorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
}

// knownAlgorithms holds all algorithms that can be accepted. It is a map because every token is looked up in it.
var knownAlgorithms = func() map[string]bool {
	known := map[string]bool{}
	for name := range secretAlgorithms() {
		known[name] = true
	}
	for _, name := range publicAlgorithms() {
		known[name] = true
	}
	return known
}()

func algorithmOf(name string) (algorithm, bool) {
	return algorithm{name}, knownAlgorithms[name]
}

// Bounds of RSA keys: shorter ones are broken, longer ones cost too much to check.
const (
	leastRSA = 2048
	mostRSA  = 8192
)

// fits returns the algorithms that a key may be used with: only those of its kind and curve, so that a token cannot
// choose how its key is read.
func fits(key any) ([]string, error) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if err := sound(k); err != nil {
			return nil, err
		}
		return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, nil
	case *ecdsa.PublicKey:
		return fitsCurve(k)
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return nil, errors.New("an Ed25519 key of another length")
		}
		return []string{"EdDSA", "Ed25519"}, nil
	case []byte:
		var list []string
		for name, least := range secretAlgorithms() {
			if len(k) >= least {
				list = append(list, name)
			}
		}
		if list == nil {
			return nil, fmt.Errorf("a secret of %d bytes; HS256 needs 32, HS384 48 and HS512 64", len(k))
		}
		slices.Sort(list)
		return list, nil
	default:
		return nil, fmt.Errorf("a key of type %T", key)
	}
}

// sound rejects an RSA key that is so weak that anyone could sign with it, or that is too costly to use.
func sound(k *rsa.PublicKey) error {
	bits := k.N.BitLen()
	switch {
	case bits < leastRSA || bits > mostRSA:
		return fmt.Errorf("an RSA key of %d bits; %d to %d are taken", bits, leastRSA, mostRSA)
	case k.E < leastExponent || k.E > mostExponent || k.E%2 == 0: // RFC 8017 section 3.1
		return fmt.Errorf("an RSA key with the exponent %d; odd ones from %d to %d are taken", k.E, leastExponent, mostExponent)
	case k.N.Bit(0) == 0:
		return errors.New("an RSA key whose modulus is even")
	case isROCA(k.N):
		return errors.New("an RSA key of a broken library of Infineon's (CVE-2017-15361), whose private part can be computed")
	}
	return nil
}

// The bounds of the exponents of RSA keys are those of crypto/rsa: a signature that it would not check is not checked
// here either. FIPS 186-5 demands more when a key is generated. For a complete verification a small exponent is no
// weakness, and a larger one only costs time.
const (
	leastExponent = 3 // from RFC 8017
	mostExponent  = math.MaxInt32
)

// isROCA recognises moduli by the fingerprint of Nemec et al. ("The Return of Coppersmith's Attack", CCS 2017, section
// 4.1): modulo every small prime, the two prime factors are powers of 65537, and so is their product. One in 240
// million other keys is mistaken for such a key; the log then reports it.
func isROCA(n *big.Int) bool {
	const generator, largest = 65537, 167
	var r big.Int
	for p := int64(3); p <= largest; p += 2 {
		if !big.NewInt(p).ProbablyPrime(0) {
			continue
		}
		want := r.Mod(n, big.NewInt(p)).Int64()
		power := int64(1)
		for power != want {
			if power = power * generator % p; power == 1 {
				return false // all powers were tried
			}
		}
	}
	return true
}

func fitsCurve(k *ecdsa.PublicKey) ([]string, error) {
	if _, err := k.ECDH(); err != nil { // checks that the point is on its curve
		return nil, fmt.Errorf("a key that is no point of its curve: %w", err)
	}
	switch k.Curve {
	case elliptic.P256():
		return []string{"ES256"}, nil
	case elliptic.P384():
		return []string{"ES384"}, nil
	case elliptic.P521():
		return []string{"ES512"}, nil
	default:
		return nil, errors.New("a key of an unknown curve")
	}
}

// isPublic reports whether key is a public key.
func isPublic(key any) bool {
	switch key.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	default:
		return false
	}
}
