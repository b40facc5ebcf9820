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

// Caller says who calls what. Equal callers share their tokens.
type Caller struct {
	Resource  string // what the token is for: "api://orders", or a client id
	Client    string // the application or the managed identity; "" for that of the environment
	Tenant    string // of the application; "" for that of the environment
	Authority string // "" for that of the environment, or Azure's own
	given     [sha256.Size]byte
	bounds    string
}

// Credentials are those of an application. The zero value means that they are looked for.
type Credentials struct {
	Secret secret.Value
	// Bounds are the bounds of the part of the config that gives the secret. The authority must be within these.
	Bounds *egress.Bounds
}

// Token is a kept access token.
type Token = cloud.Kept[secret.Value]

// Callers keeps tokens, one for all users of an equal Caller. It is safe for concurrent use.
type Callers struct {
	environment environment
	kept        cloud.Shared[Caller, *Token]
}

// fetchTimeout bounds a fetch.
const fetchTimeout = 15 * time.Second

// NewCallers returns a Callers that keeps nothing yet.
func NewCallers() *Callers { return &Callers{environment: system()} }

// Use returns the token of a caller, and the caller to pass to Leave. The token is kept until Leave was called with
// that caller as often as Use.
func (c *Callers) Use(who Caller, from Credentials, log *slog.Logger) (*Token, Caller) {
	if !from.Secret.Empty() {
		who.given, who.bounds = sha256.Sum256([]byte(from.Secret.Reveal())), from.Bounds.String()
	}
	return c.kept.Use(who, func() (*Token, func()) {
		kept := cloud.Keep(c.fetcher(who, from), cloud.KeptOptions{Name: "token of entra for " + who.Resource, Log: log, Timeout: fetchTimeout})
		return kept, kept.Close
	}), who
}

// Leave says that one user no longer needs the token.
func (c *Callers) Leave(who Caller) { c.kept.Leave(who) }

// fetcher looks for the identity anew each time, because files change.
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

// source issues tokens.
type source interface {
	token(ctx context.Context) (answer, error)
}

// answer is the answer of a token endpoint. Metadata services write numbers as strings.
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

// mostLife is the longest lifetime of a token that is accepted, in seconds: about three years.
const mostLife = 100_000_000

func number(raw json.RawMessage) (int64, bool) {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n > 0 && n < time.Now().Unix()+mostLife
}
