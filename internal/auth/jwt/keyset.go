package jwt

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/lestrrat-go/jwx/v3/jwk"

	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// The bounds of a set of keys.
const (
	largestSet = 256 << 10 // bytes
	mostKeys   = 100
	mostTries  = 4 // keys that one token is checked against
)

// key is a public key or a secret, with the algorithms that it may be used for.
type key struct {
	kid        string
	algorithms []string
	checks     []check // one for each of algorithms
	raw        any
	print      [sha256.Size]byte // digest of all of the above
	// gone is set when the current set no longer has the key. A token that was checked with it is then no longer
	// accepted.
	gone atomic.Bool
}

// signed reports whether signature is the key's signature of text by an algorithm that the key is for.
func (k *key) signed(algorithm string, text, signature []byte) bool {
	i := slices.Index(k.algorithms, algorithm)
	return i >= 0 && k.checks[i](text, signature)
}

// keySet is the set of keys that an issuer signs with at one moment. It is immutable except for the keys' gone.
type keySet struct{ keys []*key }

// index returns the index of the key that equals k in everything, or -1.
func (s *keySet) index(k *key) int {
	return slices.IndexFunc(s.keys, func(other *key) bool { return other.print == k.print })
}

// candidates returns the keys that a token may be signed with: those with its kid, and those without a kid. A token
// without a kid may be signed with any key. none is empty and has room for mostTries; the keys are appended to it.
func (s *keySet) candidates(none []*key, h *header) []*key {
	list := none
	for _, k := range s.keys {
		if len(list) == mostTries {
			break
		}
		if (h.kid == "" || k.kid == "" || k.kid == h.kid) && slices.Contains(k.algorithms, h.algorithm.name) {
			list = append(list, k)
		}
	}
	return list
}

// succeed reuses the keys of before that are in s too, so that tokens checked with them stay valid, and marks the
// others as gone.
func (s *keySet) succeed(before *keySet) {
	if before == nil {
		return
	}
	for _, old := range before.keys {
		if i := s.index(old); i >= 0 {
			s.keys[i] = old
		} else {
			old.gone.Store(true)
		}
	}
}

// errNotAllowed says that a key is for algorithms that the config does not accept.
var errNotAllowed = errors.New("the key is for algorithms that are not allowed")

// newKey pins a key to the algorithms of its kind that are also allowed.
func newKey(kid, alg string, raw any, allowed []string) (*key, error) {
	algorithms, err := fits(raw)
	if err != nil {
		return nil, err
	}
	if alg != "" {
		if !slices.Contains(algorithms, alg) {
			return nil, fmt.Errorf("its alg is %s, which does not fit the key", shorten(alg))
		}
		algorithms = []string{alg}
	}
	algorithms = slices.DeleteFunc(algorithms, func(name string) bool { return !slices.Contains(allowed, name) })
	if len(algorithms) == 0 {
		return nil, errNotAllowed
	}
	checks, err := checksOf(raw, algorithms)
	if err != nil {
		return nil, err
	}
	k := &key{kid: kid, algorithms: algorithms, checks: checks, raw: raw}
	encoded, ok := raw.([]byte)
	if !ok {
		if encoded, err = x509.MarshalPKIXPublicKey(raw); err != nil {
			return nil, err
		}
	}
	k.print = sha256.Sum256(fmt.Appendf(nil, "%q %q %x", kid, algorithms, encoded))
	return k, nil
}

// parseSet reads a JWK Set (RFC 7517 section 5). Keys for another use, and keys that cannot be used here, are left out;
// problems says why for the latter. A key that occurs twice is taken once, so that it is also withdrawn at once. A set
// without a usable key is an error.
func parseSet(data []byte, allowed []string) (set *keySet, problems []error, err error) {
	v, err := jsonx.Parse(data, jsonx.Options{MaxBytes: largestSet, MaxDepth: deepestToken, Unique: true})
	if err != nil {
		return nil, nil, err
	}
	list, _ := v.Get("keys")
	if list.Kind() != jsonx.List {
		return nil, nil, errors.New("it is no JWK Set: there is no list of keys")
	}
	if list.Len() > mostKeys {
		return nil, nil, fmt.Errorf("it has %d keys; %d are read", list.Len(), mostKeys)
	}
	set = &keySet{}
	i := 0
	for item := range list.Elements() {
		i++
		k, err := parseKey(item, allowed)
		switch {
		case err != nil:
			problems = append(problems, fmt.Errorf("key %d: %w", i, err))
		case k != nil && set.index(k) < 0:
			set.keys = append(set.keys, k)
		}
	}
	if len(set.keys) == 0 {
		return nil, problems, errors.Join(append([]error{errors.New("there is no usable key in it")}, problems...)...)
	}
	return set, problems, nil
}

// parseKey reads a JWK. It returns nil for a key that is not for signatures (RFC 7517 sections 4.2 and 4.3), or that is
// for algorithms that are not allowed.
func parseKey(v jsonx.Value, allowed []string) (*key, error) {
	text := func(name string) string { m, _ := v.Get(name); return m.Text() }
	if v.Kind() != jsonx.Object {
		return nil, errors.New("it is no object")
	}
	if use := text("use"); use != "" && use != "sig" {
		return nil, nil
	}
	if ops, there := v.Get("key_ops"); there && !holds(ops, "verify") {
		return nil, nil
	}
	switch kty := text("kty"); kty {
	case "RSA", "EC", "OKP":
	case "oct":
		return nil, errors.New("a secret has no place in a public set")
	default:
		return nil, fmt.Errorf("its kty is %s", shorten(kty))
	}
	if _, private := v.Get("d"); private {
		return nil, errors.New("its private part is in the set, so anybody could sign with it")
	}
	parsed, err := jwk.ParseKey([]byte(v.Raw()))
	if err != nil {
		return nil, err
	}
	var raw any
	if err := jwk.Export(parsed, &raw); err != nil {
		return nil, err
	}
	k, err := newKey(text("kid"), text("alg"), raw, allowed)
	if errors.Is(err, errNotAllowed) {
		return nil, nil
	}
	return k, err
}

func holds(list jsonx.Value, text string) bool {
	for v := range list.Elements() {
		if v.Text() == text {
			return true
		}
	}
	return false
}

// parseText reads keys from a config or a file: a JWK Set, or public keys and certificates in PEM.
func parseText(text string, allowed []string) (*keySet, error) {
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		set, problems, err := parseSet([]byte(text), allowed)
		if err == nil && len(problems) > 0 {
			err = errors.Join(problems...) // the author of a file can fix it
		}
		return set, err
	}
	set := &keySet{}
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		public, err := parseBlock(block)
		if err != nil {
			return nil, err
		}
		k, err := newKey("", "", public, allowed)
		if err != nil {
			return nil, err
		}
		set.keys = append(set.keys, k)
	}
	if len(set.keys) == 0 {
		return nil, errors.New("it holds neither a JWK Set nor a public key in PEM")
	}
	return set, nil
}

func parseBlock(block *pem.Block) (crypto.PublicKey, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return c.PublicKey, nil
	default:
		return nil, fmt.Errorf("a block of PEM is a %s; public keys and certificates are taken", block.Type)
	}
}
