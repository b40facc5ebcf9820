package entra

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/cloud"
)

// Caller is in whose name what is called. Callers that are equal share their tokens.
type Caller struct {
	Resource  string // for which the token is: "api://orders", or a client id
	Client    string // the application, or the managed identity; "" for that of the environment
	Tenant    string // of the application; "" for that of the environment
	Authority string // "" for that of the environment, or Azure's own
	given     [sha256.Size]byte
	bounds    string
}

// Credentials are those of an application; the zero value means that they are looked for.
type Credentials struct {
	Secret secret.Value
	// Bounds are those of whoever has given it, within which the authority must be.
	Bounds *egress.Bounds
}

// Token is an access token, kept.
type Token = cloud.Kept[secret.Value]

// Callers keeps tokens for all who call the same in the same name. It is safe for concurrent use.
type Callers struct {
	environment environment
	kept        cloud.Shared[Caller, *Token]
}

// fetchTimeout bounds a fetch.
const fetchTimeout = 15 * time.Second

// NewCallers makes one that keeps nothing yet.
func NewCallers() *Callers { return &Callers{environment: system()} }

// Use gives the token of a caller, which is kept until Leave was called as often with the
// caller that Use has given, too.
func (c *Callers) Use(who Caller, from Credentials, log *slog.Logger) (*Token, Caller) {
	if !from.Secret.Empty() {
		who.given, who.bounds = sha256.Sum256([]byte(from.Secret.Reveal())), from.Bounds.String()
	}
	return c.kept.Use(who, func() (*Token, func()) {
		kept := cloud.Keep(c.fetcher(who, from), cloud.KeptOptions{Name: "token of entra for " + who.Resource, Log: log, Timeout: fetchTimeout})
		return kept, kept.Close
	}), who
}

// Leave tells that one user less has need of it.
func (c *Callers) Leave(who Caller) { c.kept.Leave(who) }

// fetcher looks for the identity anew each time, for files change.
func (c *Callers) fetcher(who Caller, from Credentials) cloud.Fetch[secret.Value] {
	asker := cloud.NewAsker(from.Bounds)
	return func(ctx context.Context) (secret.Value, time.Time, error) {
		s, err := c.environment.find(asker, who, from.Secret)
		if err != nil {
			return secret.Value{}, time.Time{}, err
		}
		asked := time.Now()
		answer, err := s.token(ctx)
		if err != nil {
			return secret.Value{}, time.Time{}, err
		}
		expires, err := answer.expires(asked)
		if err != nil {
			return secret.Value{}, time.Time{}, err
		}
		if err := cloud.CheckToken(answer.Token); err != nil {
			return secret.Value{}, time.Time{}, fmt.Errorf("access_token: %w", err)
		}
		return secret.NewValue(answer.Token), expires, nil
	}
}

// source is what gives tokens.
type source interface {
	token(ctx context.Context) (answer, error)
}

// answer is that of a token endpoint. Machines write numbers as texts.
type answer struct {
	Token string          `json:"access_token"`
	In    json.RawMessage `json:"expires_in"` // seconds
	On    json.RawMessage `json:"expires_on"` // a Unix time
}

func (a answer) expires(asked time.Time) (time.Time, error) {
	if a.Token == "" {
		return time.Time{}, errors.New("the issuer's answer holds no access_token")
	}
	if on, ok := number(a.On); ok {
		return time.Unix(on, 0), nil
	}
	if in, ok := number(a.In); ok {
		return asked.Add(time.Duration(in) * time.Second), nil
	}
	return time.Time{}, errors.New("the issuer's answer does not say when its token ends")
}

// mostLife is the longest life of a token that is believed, in seconds: about three years.
const mostLife = 100_000_000

func number(raw json.RawMessage) (int64, bool) {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n > 0 && n < time.Now().Unix()+mostLife
}
