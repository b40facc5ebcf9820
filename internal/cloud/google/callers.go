package google

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/cloud"
)

// Caller says who calls whom. Equal callers share their tokens.
type Caller struct {
	Audience    string
	Impersonate string // the service account that is impersonated; "" for the one that is found
	Delegates   string // the accounts in between, separated by commas; each may impersonate the next
	given       [sha256.Size]byte
	bounds      string
}

// Credentials say where a caller's credentials are. The zero value means those that Google's tools would find.
type Credentials struct {
	// Given is the content of a credential file; empty if credentials are to be found.
	Given secret.Value
	// Bounds are the bounds of the part of the config that gives them. Their issuer must be within these.
	Bounds *egress.Bounds
}

// Token is a kept ID token.
type Token = cloud.Kept[secret.Value]

// Callers keeps tokens, one for all users of an equal Caller. It is safe for concurrent use.
type Callers struct {
	finder finder
	iam    string
	kept   cloud.Shared[Caller, *Token]
}

// fetchTimeout bounds a fetch, which may need several requests.
const fetchTimeout = 20 * time.Second

// NewCallers returns a Callers that keeps nothing yet.
func NewCallers() *Callers {
	return &Callers{finder: environment(), iam: "https://iamcredentials.googleapis.com"}
}

// Use returns the token of a caller, and the caller to pass to Leave. The token is kept until Leave was called with
// that caller as often as Use.
func (c *Callers) Use(who Caller, from Credentials, log *slog.Logger) (*Token, Caller) {
	if !from.Given.Empty() {
		who.given, who.bounds = sha256.Sum256([]byte(from.Given.Reveal())), from.Bounds.String()
	}
	return c.kept.Use(who, func() (*Token, func()) {
		kept := cloud.Keep(c.fetcher(who, from), cloud.KeptOptions{Name: "id token of google for " + who.Audience, Log: log, Timeout: fetchTimeout})
		return kept, kept.Close
	}), who
}

// Leave says that one user no longer needs the token.
func (c *Callers) Leave(who Caller) { c.kept.Leave(who) }

// Check says what is wrong with given credentials, without any request.
func Check(from Credentials) error {
	_, err := open(from)
	return err
}

func open(from Credentials) (source, error) {
	p := parser{asker: cloud.NewAsker(from.Bounds), given: true}
	return p.parse([]byte(from.Given.Reveal()))
}

// fetcher looks for credentials anew each time, because files change.
func (c *Callers) fetcher(who Caller, from Credentials) cloud.Fetch[secret.Value] {
	asker := cloud.NewAsker(nil)
	find := func() (source, error) { return c.finder.find(asker) }
	if !from.Given.Empty() {
		asker = cloud.NewAsker(from.Bounds)
		find = func() (source, error) { return open(from) }
	}
	return func(ctx context.Context) (secret.Value, time.Time, error) {
		s, err := find()
		if err != nil {
			return secret.Value{}, time.Time{}, err
		}
		token, err := who.token(ctx, s, asker, c.iam)
		if err != nil {
			return secret.Value{}, time.Time{}, err
		}
		if err := cloud.CheckToken(token); err != nil {
			return secret.Value{}, time.Time{}, fmt.Errorf("the ID token: %w", err)
		}
		expires, err := cloud.ExpiryOf(token)
		return secret.NewValue(token), expires, err
	}
}

// token gets an ID token from s, or with its access token for the account that is impersonated.
func (who Caller) token(ctx context.Context, s source, asker *cloud.Asker, iam string) (string, error) {
	if who.Impersonate == "" {
		return s.idToken(ctx, who.Audience)
	}
	access, err := s.accessToken(ctx)
	if err != nil {
		return "", err
	}
	var delegates []string
	if who.Delegates != "" {
		delegates = strings.Split(who.Delegates, ",")
	}
	return account{iam, who.Impersonate, delegates}.idToken(ctx, asker, access, who.Audience)
}

// source is where credentials get tokens from.
type source interface {
	// idToken returns an ID token for an audience.
	idToken(ctx context.Context, audience string) (string, error)
	// accessToken returns an access token for Google's APIs.
	accessToken(ctx context.Context) (string, error)
}

// scope is the scope of access tokens. Roles limit what they may be used for.
const scope = "https://www.googleapis.com/auth/cloud-platform"

// accessAnswer is the answer of a token endpoint (RFC 6749 section 5.1).
type accessAnswer struct {
	Access string `json:"access_token"`
	ID     string `json:"id_token"`
}

func (a accessAnswer) access() (string, error) {
	if a.Access == "" {
		return "", errors.New("the issuer's answer holds no access_token")
	}
	if err := cloud.CheckToken(a.Access); err != nil {
		return "", fmt.Errorf("access_token: %w", err)
	}
	return a.Access, nil
}
