// Package jwt recognises callers by signed tokens (RFC 7519, RFC 8725).
//
// A token is read strictly and within bounds (token.go). Its keys come only from the config or from the issuer that the
// config names (keyset.go, remote.go, living.go). Each key is pinned to the algorithms of its kind (algorithm.go), and
// what the token says is checked (claims.go). A token that was checked is remembered by its digest until it expires or
// its key leaves the set.
package jwt

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/keep"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/wire/secure"
)

// Definition defines this kind of auth.
func Definition() auth.Definition {
	return auth.Define("jwt", "signed tokens of an issuer, whose keys are found by OIDC discovery", defaults, build)
}

func build(env auth.Env, c *Config) (auth.Way, error) {
	v := &verifier{
		policy: policy{
			way: env.Name, issuer: c.Issuer, audience: c.Audience.Names, types: usualTypes(),
			allowed: c.allowed(), leeway: c.Leeway, subject: c.Subject, scopes: c.Scopes,
		},
		places: c.From, headers: newHeaders(),
	}
	if len(c.Types) > 0 {
		v.types = nil
		for _, t := range c.Types {
			v.types = append(v.types, typeOf(t))
		}
	}
	if len(v.places) == 0 {
		v.places = []auth.Place{auth.AuthorizationOf("Bearer")}
	}
	way := auth.Way{Recognise: v.recognise, Scheme: "Bearer", Places: v.places, Common: c.Common, Note: note(c)}
	identity, err := v.takeKeys(env, c)
	if v.live != nil {
		way.Heard = map[string]func() telemetry.Heard{v.live.source: v.live.heard}
	}
	if err != nil || env.Checked {
		return way, err
	}
	v.seen, err = keep.In(env.Keep, "tokens "+identity, func() (*auth.Memory[auth.Digest, seen], func(context.Context), error) {
		return auth.NewMemory[auth.Digest, seen](c.Remember), func(context.Context) {}, nil
	})
	return way, err
}

func note(c *Config) string {
	text := "tokens of " + c.Issuer
	if len(c.Audience.Names) > 0 {
		text += " for " + strings.Join(c.Audience.Names, ", ")
	}
	return text
}

// verifier checks the tokens of one way.
type verifier struct {
	policy

	places []auth.Place
	fixed  *known  // from the config itself; nil if they are fetched
	live   *living // nil if the keys are fixed
	seen   *auth.Memory[auth.Digest, seen]

	headers headers
}

// seen is what is remembered of a token that was checked.
type seen struct {
	identity *exchange.Identity
	expires  time.Time // leeway included
	key      *key
}

// takeKeys finds the keys. It returns an identity for the way's memory that covers everything a token is checked by.
// Fixed keys are part of it. For fetched keys the identity of the living set is part of it, because only the keys of
// that set are marked when they are withdrawn.
func (v *verifier) takeKeys(env auth.Env, c *Config) (identity string, err error) {
	identity = fmt.Sprintf("%s\n%s", env.Name, doc.Encode(c))
	set := &keySet{}
	switch {
	case len(c.Secrets) > 0:
		set, err = secretKeys(env, c)
	case c.JWKS.Inline != "":
		set, err = parseText(c.JWKS.Inline, c.allowed())
	case c.JWKS.File != nil:
		var text string
		var there bool
		file := config.Secret(*c.JWKS.File)
		if text, there, err = env.Text(file); there {
			if set, err = parseText(text, c.allowed()); err != nil {
				err = auth.Unusable(file, err)
			}
		}
	default:
		var keys string
		v.live, keys, err = fetchedKeys(env, c)
		return identity + "\n" + keys, err
	}
	if err != nil {
		return "", err
	}
	for _, k := range set.keys {
		identity += fmt.Sprintf("\n%x", k.print)
	}
	v.fixed = &known{set: set}
	return identity, nil
}

func secretKeys(env auth.Env, c *Config) (*keySet, error) {
	set := &keySet{}
	for _, s := range c.Secrets {
		if !s.Refers() {
			return nil, auth.Unusable(s, errors.New("the secret stands in the config itself; write a reference such as ${env:JWT_SECRET}"))
		}
		text, known, err := env.Text(s)
		if err != nil {
			return nil, err
		}
		if !known {
			continue
		}
		k, err := newKey("", "", []byte(text), c.allowed())
		if err != nil {
			return nil, auth.Unusable(s, err)
		}
		set.keys = append(set.keys, k)
	}
	return set, nil
}

// fetchedKeys returns the living set of an issuer, which is shared by all ways that ask for the same one, and its
// identity. The set is nil if the config is only checked.
func fetchedKeys(env auth.Env, c *Config) (l *living, identity string, err error) {
	where := c.Discovery.URL
	if c.JWKS.is() {
		where = c.JWKS.Remote.URL
	}
	u, err := url.Parse(where)
	if err != nil {
		return nil, "", err
	}
	r := &remote{allowed: c.allowed()}
	if c.JWKS.is() {
		r.keys = u
	} else {
		r.issuer = c.Issuer
	}
	authorities, err := authoritiesOf(env, c)
	if err != nil {
		return nil, "", err
	}
	// Another issuer, address, authority or algorithm makes another source, so that a changed config never uses the
	// keys of the previous one.
	source := fmt.Sprintf("%q %q %q %x", where, r.issuer, r.allowed, sha256.Sum256(authorities))
	identity = fmt.Sprintf("keys %s %s%s", source, c.Stale, env.Bounds)
	l, err = keep.In(env.Keep, identity, func() (*living, func(context.Context), error) {
		client, err := newClient(u.Hostname(), authorities, env.Bounds)
		if err != nil {
			return nil, nil, err
		}
		l, end := r.live(client, source, env, c)
		return l, end, nil
	})
	if l != nil && env.Await != nil {
		env.Await("the keys of "+c.Issuer, l.first)
	}
	return l, identity, err
}

// live starts fetching and returns the function that ends it.
func (r *remote) live(client *client, source string, env auth.Env, c *Config) (*living, func(context.Context)) {
	log := env.Log.With("issuer", c.Issuer)
	r.trip, r.told = client.trip, tell(log)
	k := kept{env.Shelf.Place("keys", source, c.Stale), r.allowed, log}
	meter, release := env.Metrics.KeySet(c.Issuer)
	l := start(sourced{
		fetch: r.fetch, issuer: c.Issuer, source: fmt.Sprintf("keys %s %s %s", c.Issuer, source, c.Stale), stale: c.Stale, before: k.last(), keep: k.put, meter: meter, log: log,
	})
	unwatch := meter.Watch(l.heard)
	return l, func(ctx context.Context) {
		l.close(ctx) // first: until it returns, the set may still count fetches and keep keys
		unwatch()
		release()
		k.place.Close()
		client.close()
	}
}

// authoritiesOf reads the CA; nil means the system's authorities.
func authoritiesOf(env auth.Env, c *Config) ([]byte, error) {
	if c.CA == nil {
		return nil, nil
	}
	text, known, err := env.Text(config.Secret(*c.CA))
	if err != nil || !known {
		return nil, err
	}
	if _, err := secure.Authorities([]byte(text)); err != nil { // never fall back to the system's by accident
		return nil, auth.Unusable(config.Secret(*c.CA), fmt.Errorf("ca: %w", err))
	}
	return []byte(text), nil
}

// tell returns a function that logs what is wrong with single keys of a set. It logs again only when the problems
// change.
func tell(log *slog.Logger) func([]error) {
	last := ""
	return func(problems []error) {
		text := fmt.Sprint(errors.Join(problems...))
		if len(problems) > 0 && text != last {
			log.Warn("keys of an issuer are left out", "problems", text)
		}
		last = text
	}
}

// recognise says who sent a request with a token.
func (v *verifier) recognise(r *http.Request) (*exchange.Identity, error) {
	text, err := auth.Find(r, v.places)
	if err != nil {
		return nil, err
	}
	if len(text) > longestToken {
		return nil, auth.Refuse("the token has %d bytes; %d are read", len(text), longestToken)
	}
	room := rooms.Get().(*[roomFor]byte) //nolint:forcetypeassert // it holds nothing else
	defer rooms.Put(room)
	raw := room[:copy(room[:], text)]
	now := time.Now()
	set, err := v.keys(now)
	digest := auth.Digest(sha256.Sum256(raw)) // auth.DigestOf would copy the text once more
	if s, ok := v.seen.Get(digest); ok && err == nil {
		if now.Before(s.expires) && !s.key.gone.Load() {
			return s.identity, nil
		}
		v.seen.Forget(digest)
	}
	checked, err := v.verify(r.Context(), raw, text, now, set, err)
	if err != nil {
		return nil, err
	}
	v.seen.Put(digest, checked)
	return checked.identity, nil
}

// keys returns the set that is valid now.
func (v *verifier) keys(now time.Time) (*known, error) {
	if v.live == nil {
		return v.fixed, nil
	}
	return v.live.current(now)
}

var rooms = sync.Pool{New: func() any { return new([roomFor]byte) }}

// verify checks a token that was not seen before; raw is as parse expects it. noKeys says why there are no keys. A
// token that can be refused without keys is still refused.
func (v *verifier) verify(ctx context.Context, raw []byte, text string, now time.Time, set *known, noKeys error) (seen, error) {
	t, err := parse(raw, text, v.headers.read)
	if err != nil {
		return seen{}, auth.Refuse("the token is refused: %w", err)
	}
	if err := v.meant(&t); err != nil {
		return seen{}, auth.Refuse("the token is refused: %w", err)
	}
	expires, err := v.check(&t, now)
	if err != nil {
		return seen{}, auth.Refuse("the token is refused: %w", err)
	}
	if noKeys != nil {
		return seen{}, unavailable(noKeys)
	}
	k, err := v.signer(ctx, &t, set)
	if err != nil {
		return seen{}, err
	}
	identity, err := v.identity(&t)
	if err != nil {
		return seen{}, auth.Refuse("the token is refused: %w", err)
	}
	v.headers.keep(&t)
	return seen{identity: identity, expires: expires, key: k}, nil
}

// signer returns the key that has signed t. For an unknown kid the issuer is asked again, because it may have new keys.
func (v *verifier) signer(ctx context.Context, t *token, k *known) (*key, error) {
	var room [mostTries]*key
	candidates := k.set.candidates(room[:0], &t.header)
	if len(candidates) == 0 && v.live != nil {
		newer, sure := v.live.renew(ctx, k)
		if newer.set != nil {
			candidates = newer.set.candidates(room[:0], &t.header)
		}
		if len(candidates) == 0 && !sure {
			return nil, unavailable(noKeysError{newer.err, "the key " + shorten(t.kid) + " is unknown, and newer ones cannot be had just now"})
		}
	}
	if len(candidates) == 0 {
		return nil, auth.Refuse("the token is refused: no key of the issuer has the kid %s and takes %s", shorten(t.kid), t.algorithm.name)
	}
	if signed := t.signedBy(candidates); signed != nil {
		return signed, nil
	}
	return nil, auth.Refuse("the token is refused: its signature is wrong")
}

// signedBy returns the one of candidates that has signed t, or nil. Everything except the signature was already
// checked.
func (t *token) signedBy(candidates []*key) *key {
	for _, c := range candidates {
		if c.signed(t.algorithm.name, t.signed, t.signature) {
			return c
		}
	}
	return nil
}

func unavailable(err error) *fault.Fault {
	return fault.AuthUnavailable.New("", fault.RetryAfter(time.Second), fault.Cause(err))
}
