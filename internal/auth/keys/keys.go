// Package keys recognises callers by API keys: long random texts, of which each caller has one or more. Only the
// SHA-256 digest of a key is known, and keys are looked up by digest. So neither the config, nor memory, nor the time
// that a comparison takes reveals a key.
package keys

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
)

// Config is the config of an auth of this kind.
type Config struct {
	Keys auth.Members `doc:"keys,required" help:"callers by id, each with a digest sha256:... or a reference to the key itself" example:"{ acme: \"${env:ACME_KEY}\" }"`
	// From lists where a key may stand.
	From []auth.Place `doc:"from,oneormany,omitzero" help:"where the key is: header:NAME, cookie:NAME or query:NAME; header:X-API-Key by default" example:"header:X-API-Key"`

	auth.Common `doc:",inline"`
}

// longest is more than the length of any key.
const longest = 4096

// Definition defines this kind of auth.
func Definition() auth.Definition {
	return auth.Define("keys", "API keys: long random texts, known by their digests", func() Config { return Config{} }, build)
}

func build(env auth.Env, c *Config) (auth.Way, error) {
	r := &ring{places: c.From, holders: make(map[auth.Digest]*exchange.Identity, len(c.Keys))}
	if len(r.places) == 0 {
		r.places = []auth.Place{{Kind: auth.InHeader, Name: "X-Api-Key"}}
	}
	var errs []error
	for _, member := range c.Keys {
		identity := member.Identity(env.Name)
		for _, proof := range member.Proofs {
			if err := r.add(env, proof, identity); err != nil {
				errs = append(errs, member.Wrong(err))
			}
		}
	}
	way := auth.Way{Recognise: r.recognise, Scheme: "ApiKey", Places: r.places, Common: c.Common, Note: note(c, r.places)}
	if r.places[0].Scheme != "" {
		way.Scheme = r.places[0].Scheme
	}
	return way, errors.Join(errs...)
}

func note(c *Config, places []auth.Place) string {
	texts := make([]string, len(places))
	for i, p := range places {
		texts[i] = p.String()
	}
	n := 0
	for _, member := range c.Keys {
		n += len(member.Proofs)
	}
	return auth.Count(n, "key") + " in " + strings.Join(texts, " or ")
}

// ring holds all keys by their digests.
type ring struct {
	places  []auth.Place
	holders map[auth.Digest]*exchange.Identity
}

// add adds a key that is written as its digest or as a reference to itself.
func (r *ring) add(env auth.Env, key config.Secret, holder *exchange.Identity) error {
	digest, known, err := env.DigestOfKey(key)
	if !known {
		return err
	}
	if other, twice := r.holders[digest]; twice {
		return auth.Unusable(key, fmt.Errorf("this is a key of %s already; a key says who is calling, so give each caller its own", other.Subject))
	}
	r.holders[digest] = holder
	return nil
}

// recognise looks a key up by its digest, so the time it takes does not tell how close a wrong key came.
func (r *ring) recognise(req *http.Request) (*exchange.Identity, error) {
	key, err := auth.Find(req, r.places)
	if err != nil {
		return nil, err
	}
	if key == "" || len(key) > longest {
		return nil, auth.Refuse("the API key is empty or longer than %d bytes", longest)
	}
	identity := r.holders[auth.DigestOf(key)]
	if identity == nil {
		return nil, auth.Refuse("the API key is unknown")
	}
	return identity, nil
}
