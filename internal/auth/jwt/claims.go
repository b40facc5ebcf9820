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

// policy is what a token must say to be accepted.
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

// usualTypes returns the types of tokens that are made for APIs. Other tokens, such as logout tokens and proofs of
// possession, are not (RFC 8725 section 3.11).
func usualTypes() []string { return []string{"", "jwt", "at+jwt"} }

// meant checks the issuer and the algorithm before any keys are needed: a token of another issuer, or of an algorithm
// that is not accepted, needs none.
func (p *policy) meant(t *token) error {
	if !slices.Contains(p.allowed, t.algorithm.name) {
		return fmt.Errorf("its algorithm is %s, which is not allowed", t.algorithm.name)
	}
	if t.iss.Kind() != jsonx.String || t.iss.Text() != p.issuer {
		return fmt.Errorf("its issuer is %s, not %q", shorten(t.iss.Text()), p.issuer)
	}
	return nil
}

// check checks everything except issuer and signature, and returns when the token expires.
func (p *policy) check(t *token, now time.Time) (expires time.Time, err error) {
	if !slices.Contains(p.types, t.typ) {
		return expires, fmt.Errorf("its type is %s", shorten(t.typ))
	}
	if err := p.heldFor(t); err != nil {
		return expires, err
	}
	exp, there, err := numericDate("exp", t.exp)
	switch {
	case err != nil:
		return expires, err
	case !there:
		return expires, errors.New("it has no exp, and would never end")
	case !now.Before(exp.Add(p.leeway)):
		return expires, fmt.Errorf("it expired at %s", exp.UTC().Format(time.RFC3339))
	}
	if err := p.begun("nbf", t.nbf, now); err != nil {
		return expires, err
	}
	return exp.Add(p.leeway), p.begun("iat", t.iat, now)
}

// begun checks that a date, if there is one, is not in the future.
func (p *policy) begun(name string, date jsonx.Value, now time.Time) error {
	begins, there, err := numericDate(name, date)
	if err == nil && there && now.Add(p.leeway).Before(begins) {
		err = fmt.Errorf("its %s is %s, which is still to come", name, begins.UTC().Format(time.RFC3339))
	}
	return err
}

// heldFor checks the audience: one string or a list of them (RFC 7519 section 4.1.3).
func (p *policy) heldFor(t *token) error {
	if p.audience == nil {
		return nil
	}
	switch aud := t.aud; aud.Kind() {
	case jsonx.String:
		if slices.Contains(p.audience, aud.Text()) {
			return nil
		}
	case jsonx.List:
		if held, err := p.holdsOne(aud); held || err != nil {
			return err
		}
	default:
		return errors.New("it has no aud")
	}
	return fmt.Errorf("it is for others: aud is %s", shorten(t.aud.Raw()))
}

// holdsOne reports whether a list of strings contains one of the policy's audiences.
func (p *policy) holdsOne(list jsonx.Value) (held bool, err error) {
	for v := range list.Elements() {
		if v.Kind() != jsonx.String {
			return false, errors.New("its aud holds something else than texts")
		}
		held = held || slices.Contains(p.audience, v.Text())
	}
	return held, nil
}

// latest is the end of the year 9999. A date beyond it is a mistake or an attack.
const latest = 253402300799

// numericDate reads a NumericDate of RFC 7519 section 2: a number, whole or not, and never a string.
func numericDate(name string, v jsonx.Value) (at time.Time, there bool, err error) {
	if v.Kind() == jsonx.Invalid {
		return at, false, nil
	}
	if seconds, whole := v.Int(); whole && seconds >= 0 && seconds <= latest {
		return time.Unix(seconds, 0), true, nil
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

// identity returns the identity of the caller that a checked token names.
func (p *policy) identity(t *token) (*exchange.Identity, error) {
	sub := t.sub
	if p.subject != "sub" {
		sub, _ = t.claims.Get(p.subject)
	}
	if sub.Kind() != jsonx.String || sub.Text() == "" {
		return nil, fmt.Errorf("its %s is no text that names a caller", p.subject)
	}
	id := exchange.IdentityIn(t.claims)
	id.Method, id.Issuer, id.Subject = p.way, p.issuer, sub.Text()
	for _, name := range p.scopes {
		v, _ := t.claims.Get(name)
		switch v.Kind() {
		case jsonx.String:
			if words := strings.Fields(v.Text()); id.Scopes == nil {
				id.Scopes = words
			} else {
				id.Scopes = append(id.Scopes, words...)
			}
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
