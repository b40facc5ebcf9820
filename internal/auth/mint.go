package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/keep"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Mint configures the gateway's own tokens: short-lived tokens that tell a backend who is calling, however the caller
// was recognised.
type Mint struct {
	Keys     []config.FileSecret `doc:"key,oneormany,omitzero" help:"private keys in PEM: files, or secrets; the first one signs, the others are still published. By default one is generated at startup" example:"/run/secrets/identity.pem"`
	Field    string              `doc:"header" help:"the header field that carries the token; Authorization carries it as Bearer" example:"X-Identity"`
	Issuer   string              `doc:"issuer" help:"the token's iss" example:"https://gateway.shop.dev"`
	Audience []string            `doc:"audience,oneormany,omitzero" help:"the token's aud" example:"orders"`
	Lifetime time.Duration       `doc:"lifetime" help:"how long a token is valid; never longer than the caller's own" example:"1m"`
	Claims   []string            `doc:"claims,oneormany,omitzero" help:"claims from auth.claims to add to iss, sub, aud, scope and idp, which is the caller's issuer" example:"[email, plan]"`
}

// usualMint returns the defaults.
func usualMint() Mint { return Mint{Field: Authorization, Issuer: "weir", Lifetime: time.Minute} }

// longestLifetime bounds the lifetime of a token, because a token cannot be revoked.
const longestLifetime = time.Hour

// ownClaims returns the claims that Weir writes itself.
func ownClaims() []string {
	return []string{"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "scope", "idp"}
}

// DocSchema implements doc.SchemaWriter.
func (Mint) DocSchema() *doc.Schema {
	type long Mint
	return doc.SchemaOf(reflect.TypeFor[long]())
}

// DecodeDoc reads a map. Keys that it lacks get their defaults.
func (m *Mint) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	type long Mint
	*m = usualMint()
	if !doc.Decode(n, (*long)(m), ps) {
		return
	}
	m.Field = http.CanonicalHeaderKey(m.Field)
	p := doc.Problem{Pos: n.Pos}
	switch {
	case !httpx.IsToken(m.Field) || forward.Managed(m.Field) || m.Field != Authorization && common(m.Field):
		p.What, p.Fix = fmt.Sprintf("the field %q can carry no token", m.Field), "for example `header: X-Identity`"
	case m.Lifetime < time.Second || m.Lifetime > longestLifetime:
		p.What, p.Fix = "lifetime is not between 1s and 1h", "nobody can take such a token back, so make it short, for example 1m"
	case m.Issuer == "":
		p.What, p.Fix = "issuer is empty", "for example `issuer: https://gateway.shop.dev`"
	default:
		for i, name := range m.Claims {
			if slices.Contains(ownClaims(), name) {
				at := n.Get("claims")
				if at.Kind == doc.List {
					at = at.Items[i]
				}
				ps.Add(doc.Problem{Pos: at.Pos, What: fmt.Sprintf("the claim %q is the gateway's own", name), Fix: "leave it out"})
			}
		}
		return
	}
	ps.Add(p)
}

// minter makes the tokens of one way.
type minter struct {
	Mint

	key       jwk.Key // with its kid
	algorithm jwa.SignatureAlgorithm
	public    []json.RawMessage
	// made caches tokens by the identity they are for. The requests of one caller share an identity, so a signature is
	// not made for each request.
	made *Memory[*exchange.Identity, minted]
}

type minted struct {
	text    string
	renewed time.Time // when the next token is made
}

// mostMinted is the number of tokens that are cached.
const mostMinted = 10_000

// newMinter reads the keys, or makes one. It returns nil if the config is only checked.
func newMinter(env Env, m Mint) (*minter, error) {
	identity := sha256.New()
	fmt.Fprintf(identity, "%s", doc.Encode(m))
	var private []crypto.Signer
	for _, k := range m.Keys {
		text, known, err := env.Text(config.Secret(k))
		if err != nil {
			return nil, err
		}
		if known {
			key, err := parsePrivate(text)
			if err != nil {
				return nil, Unusable(config.Secret(k), err)
			}
			private = append(private, key)
			fmt.Fprintf(identity, "%d %s", len(text), text)
		}
	}
	if env.Checked {
		return nil, nil
	}
	return keep.In(env.Keep, fmt.Sprintf("mint %s %x", env.Name, identity.Sum(nil)), func() (*minter, func(context.Context), error) {
		made := &minter{Mint: m, made: NewMemory[*exchange.Identity, minted](mostMinted)}
		err := made.take(private)
		return made, func(context.Context) {}, err
	})
}

// take reads the private keys. The first one signs.
func (m *minter) take(private []crypto.Signer) error {
	if len(private) == 0 {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		private = append(private, k)
	}
	for i, k := range private {
		alg, err := algorithmOf(k)
		if err != nil {
			return err
		}
		made, err := named(k)
		if err != nil {
			return err
		}
		if err := m.publish(made, alg); err != nil {
			return err
		}
		if i == 0 {
			m.key, m.algorithm = made, alg
		}
	}
	return nil
}

// named sets the thumbprint of a key as its kid (RFC 7638).
func named(k crypto.Signer) (jwk.Key, error) {
	made, err := jwk.Import(k)
	if err != nil {
		return nil, err
	}
	thumbprint, err := made.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return made, made.Set(jwk.KeyIDKey, base64.RawURLEncoding.EncodeToString(thumbprint))
}

func (m *minter) publish(k jwk.Key, alg jwa.SignatureAlgorithm) error {
	public, err := jwk.PublicKeyOf(k)
	if err != nil {
		return err
	}
	if err := errors.Join(public.Set(jwk.AlgorithmKey, alg), public.Set(jwk.KeyUsageKey, "sig")); err != nil {
		return err
	}
	text, err := json.Marshal(public)
	m.public = append(m.public, text)
	return err
}

func parsePrivate(text string) (crypto.Signer, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("forward.jwt.key holds no PEM")
	}
	var k any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		k, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		k, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		k, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		err = fmt.Errorf("a block of PEM is a %s, not a private key", block.Type)
	}
	signer, ok := k.(crypto.Signer)
	if err != nil || !ok {
		return nil, fmt.Errorf("forward.jwt.key: %w", errors.Join(err, errors.New("it is no private key that signs")))
	}
	return signer, nil
}

// algorithmOf returns the algorithm that a key signs with.
func algorithmOf(k crypto.Signer) (jwa.SignatureAlgorithm, error) {
	const leastRSA = 2048
	switch k := k.(type) {
	case ed25519.PrivateKey:
		return jwa.EdDSA(), nil
	case *rsa.PrivateKey:
		if k.N.BitLen() >= leastRSA {
			return jwa.RS256(), nil
		}
	case *ecdsa.PrivateKey:
		switch k.Curve {
		case elliptic.P256():
			return jwa.ES256(), nil
		case elliptic.P384():
			return jwa.ES384(), nil
		case elliptic.P521():
			return jwa.ES512(), nil
		}
	}
	return jwa.EmptySignatureAlgorithm(), errors.New("forward.jwt.key: keys are Ed25519, ECDSA on P-256, P-384 or P-521, or RSA of 2048 bits or more")
}

// expiryOf returns when the caller's own token expires, to the second (RFC 7519 section 4.1.4: the number need not be
// whole).
func expiryOf(who *exchange.Identity) (time.Time, bool) {
	switch exp := who.Claims.All()["exp"].(type) {
	case int64:
		return time.Unix(exp, 0), true
	case json.Number:
		seconds, err := exp.Float64()
		return time.Unix(int64(seconds), 0), err == nil
	default:
		return time.Time{}, false
	}
}

// token returns a token for a caller. At least half of the token's lifetime is left.
func (m *minter) token(who *exchange.Identity, now time.Time) (string, error) {
	if t, ok := m.made.Get(who); ok && now.Before(t.renewed) {
		return t.text, nil
	}
	ends := now.Add(m.Lifetime)
	if exp, ok := expiryOf(who); ok && exp.Before(ends) {
		ends = exp
	}
	claims := map[string]any{"iss": m.Issuer, "sub": who.Subject, "idp": who.Issuer, "iat": now.Unix(), "exp": max(ends.Unix(), now.Unix()+1)}
	if len(m.Audience) > 0 {
		claims["aud"] = m.Audience
	}
	if scopes := words(who.Scopes); len(scopes) > 0 {
		claims["scope"] = strings.Join(scopes, " ")
	}
	for _, name := range m.Claims {
		if value, ok := who.Claims.All()[name]; ok {
			claims[name] = value
		}
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	text, err := jws.Sign(payload, jws.WithKey(m.algorithm, m.key))
	if err != nil {
		return "", err
	}
	m.made.Put(who, minted{string(text), now.Add(ends.Sub(now) / 2)}) //nolint:mnd // half
	return string(text), nil
}

// words returns the scopes that are a single word (RFC 6749 section 3.3). An issuer may list a scope with a blank in
// it; behind the gateway it would count as several scopes, possibly including some that nobody has granted.
func words(scopes []string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(s string) bool {
		fields := strings.Fields(s)
		return len(fields) != 1 || fields[0] != s
	})
}
