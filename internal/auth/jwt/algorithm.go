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

// algorithm is the name of a way of signing (RFC 7518 section 3.1, RFC 8037, RFC 9864).
type algorithm struct{ name string }

// secretAlgorithms need a secret that both sides have, with the least bytes that it
// must be long (RFC 7518 section 3.2).
func secretAlgorithms() map[string]int { return map[string]int{"HS256": 32, "HS384": 48, "HS512": 64} }

// publicAlgorithms are those that are taken unless a config says otherwise. `none` is
// no algorithm here, whatever its spelling.
func publicAlgorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
}

// knownAlgorithms are all that can be taken, for every token is looked up there.
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

// fits gives the algorithms that a key may be used with: those of its kind and curve and
// no others, so that a token cannot choose how its key is read.
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

// sound tells what is wrong with an RSA key that anybody could sign with.
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

// Bounds of the exponents of RSA keys, which are crypto/rsa's: signatures that it would not check
// are not checked by us either. FIPS 186-5 wants more of those who make keys; for those who check
// signatures whole a small one is no weakness, and a larger one only costs.
const (
	leastExponent = 3 // of RFC 8017
	mostExponent  = math.MaxInt32
)

// isROCA knows moduli by the fingerprint that Nemec and others have found ("The Return of
// Coppersmith's Attack", CCS 2017, section 4.1): their primes are powers of 65537 in the
// remainders of all small primes, and so is their product. Of other keys one in
// 240 million is taken for one, and its issuer told so by the log.
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
				return false // all powers were seen
			}
		}
	}
	return true
}

func fitsCurve(k *ecdsa.PublicKey) ([]string, error) {
	if _, err := k.ECDH(); err != nil { // looks whether the point is on its curve
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

// isPublic tells whether anybody may know a key.
func isPublic(key any) bool {
	switch key.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	default:
		return false
	}
}
