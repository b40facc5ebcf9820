package jwt

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// policy is what a token must say to count.
type policy struct {
	way      string
	issuer   string
	audience []string // nil: any
	types    []string // of the header, lower case; "" for none
	allowed  []string // algorithms
	leeway   time.Duration
	subject  string   // the claim that names the caller
	scopes   []string // the claims that hold scopes
}

// usualTypes are those of tokens that are made for APIs. Others, as logout tokens
// and proofs of possession, are not (RFC 8725 section 3.11).
func usualTypes() []string { return []string{"", "jwt", "at+jwt"} }

// meant is looked at before there are keys: a token of somebody else, or of an algorithm
// that is not taken, needs none.
func (p *policy) meant(t *token) error {
	if !slices.Contains(p.allowed, t.algorithm.name) {
		return fmt.Errorf("its algorithm is %s, which is not allowed", t.algorithm.name)
	}
	if iss, there := t.claims.Get("iss"); !there || iss.Kind() != jsonx.String || iss.Text() != p.issuer {
		return fmt.Errorf("its issuer is %s, not %q", shorten(iss.Text()), p.issuer)
	}
	return nil
}

// check holds everything but issuer and signature, and gives when the token ends.
func (p *policy) check(t *token, now time.Time) (expires time.Time, err error) {
	typ := strings.TrimPrefix(strings.ToLower(t.typ), "application/")
	if !slices.Contains(p.types, typ) {
		return expires, fmt.Errorf("its type is %s", shorten(t.typ))
	}
	if err := p.heldFor(t); err != nil {
		return expires, err
	}
	exp, there, err := numericDate(t.claims, "exp")
	switch {
	case err != nil:
		return expires, err
	case !there:
		return expires, errors.New("it has no exp, and would never end")
	case !now.Before(exp.Add(p.leeway)):
		return expires, fmt.Errorf("it expired at %s", exp.UTC().Format(time.RFC3339))
	}
	for _, name := range []string{"nbf", "iat"} {
		begins, there, err := numericDate(t.claims, name)
		if err != nil {
			return expires, err
		}
		if there && now.Add(p.leeway).Before(begins) {
			return expires, fmt.Errorf("its %s is %s, which is still to come", name, begins.UTC().Format(time.RFC3339))
		}
	}
	return exp.Add(p.leeway), nil
}

// heldFor holds the audience: one text or a list of them (RFC 7519 section 4.1.3).
func (p *policy) heldFor(t *token) error {
	if p.audience == nil {
		return nil
	}
	aud, _ := t.claims.Get("aud")
	var names []string
	switch aud.Kind() {
	case jsonx.String:
		names = []string{aud.Text()}
	case jsonx.List:
		for v := range aud.Elements() {
			if v.Kind() != jsonx.String {
				return errors.New("its aud holds something else than texts")
			}
			names = append(names, v.Text())
		}
	default:
		return errors.New("it has no aud")
	}
	for _, name := range names {
		if slices.Contains(p.audience, name) {
			return nil
		}
	}
	return fmt.Errorf("it is for others: aud is %s", shorten(strings.Join(names, " ")))
}

// latest is the end of the year 9999: a date beyond it is a mistake or an attack.
const latest = 253402300799

// numericDate reads a NumericDate of RFC 7519 section 2: a number, whole or not, and never a text.
func numericDate(claims jsonx.Value, name string) (at time.Time, there bool, err error) {
	v, there := claims.Get(name)
	if !there {
		return at, false, nil
	}
	seconds := -1.0
	if v.Kind() == jsonx.Number {
		seconds, err = strconv.ParseFloat(v.Raw(), 64) // exact to the microsecond until the year 2255
	}
	if err != nil || seconds < 0 || seconds > latest {
		return at, true, fmt.Errorf("its %s is no date in seconds", name)
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*float64(time.Second))), true, nil
}

// identity is who a token that was checked speaks of.
func (p *policy) identity(t *token) (*exchange.Identity, error) {
	sub, _ := t.claims.Get(p.subject)
	if sub.Kind() != jsonx.String || sub.Text() == "" {
		return nil, fmt.Errorf("its %s is no text that names a caller", p.subject)
	}
	claims, _ := t.claims.Any().(map[string]any)
	id := &exchange.Identity{Method: p.way, Issuer: p.issuer, Subject: sub.Text(), Claims: claims}
	for _, name := range p.scopes {
		v, _ := t.claims.Get(name)
		switch v.Kind() {
		case jsonx.String:
			id.Scopes = append(id.Scopes, strings.Fields(v.Text())...)
		case jsonx.List:
			for e := range v.Elements() {
				if text := e.Text(); text != "" {
					id.Scopes = append(id.Scopes, text)
				}
			}
		default:
		}
	}
	return id, nil
}
