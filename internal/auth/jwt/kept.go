package jwt

import (
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"

	"github.com/weir-gateway/weir/internal/base/shelf"
)

// kept is where the keys of an issuer outlive the process. They are written as a JWK Set of public keys only, and read
// as strictly as one that an issuer sends.
type kept struct {
	place   *shelf.Place // nil: nowhere
	allowed []string     // algorithms
	log     *slog.Logger
}

// last returns the set from before the start, with the time when it was fetched. It returns an empty one if no set was
// kept or the kept one is too old.
func (k kept) last() *known {
	var raw json.RawMessage
	at, ok := k.place.Last(&raw)
	if !ok {
		return &known{}
	}
	set, _, err := parseSet(raw, k.allowed) // other members are ignored, as they are from an issuer
	if err != nil {
		k.log.Warn("the keys that were kept of an issuer cannot be used", "error", err)
		return &known{}
	}
	k.log.Info("the keys of an issuer are those of before the start until it can be asked", "keys", len(set.keys), "fetched", at)
	return &known{set: set, since: at, kept: true}
}

// put keeps a set that was just fetched.
func (k kept) put(set *keySet) {
	raw, err := set.encode()
	if err != nil {
		k.log.Error("the keys of an issuer cannot be kept for a restart", "error", err)
		k.place.Clear() // the kept ones are no longer the issuer's keys
		return
	}
	k.place.Put(raw)
}

// encode writes the set as a JWK Set. A key that is not public is an error.
func (s *keySet) encode() (json.RawMessage, error) {
	var form struct {
		Keys []jwk.Key `json:"keys"`
	}
	for _, k := range s.keys {
		public, err := k.public()
		if err != nil {
			return nil, err
		}
		form.Keys = append(form.Keys, public)
	}
	return json.Marshal(form)
}

// public returns a key in the form that parseKey reads, with its alg if it has only one.
func (k *key) public() (jwk.Key, error) {
	if !isPublic(k.raw) {
		return nil, fmt.Errorf("the key %s is a %T, which is no public key", shorten(k.kid), k.raw)
	}
	public, err := jwk.Import(k.raw)
	if err == nil && k.kid != "" {
		err = public.Set(jwk.KeyIDKey, k.kid)
	}
	if err == nil && len(k.algorithms) == 1 {
		alg, _ := jwa.LookupSignatureAlgorithm(k.algorithms[0])
		err = public.Set(jwk.AlgorithmKey, alg)
	}
	return public, err
}
