package google

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/cloud"
)

// external is workload identity federation: a token of another issuer is exchanged for one of Google's (AIP-4117; RFC
// 8693).
type external struct {
	asker    *cloud.Asker
	audience string
	kind     string
	endpoint string
	id       string // of the client; "" for none
	secret   string
	subject  subject
	who      account // has the email "" if no account is impersonated
}

// subject says where the other issuer's token is found.
type subject struct {
	File    string
	URL     string
	Headers map[string]string
	Format  struct {
		Type  string // "text", "json"
		Field string `json:"subject_token_field_name"`
	}
	Environment string `json:"environment_id"`
	Executable  json.RawMessage
	Certificate json.RawMessage
}

// check says why tokens cannot be found there.
func (s subject) check() error {
	switch {
	case s.Environment != "", s.Executable != nil, s.Certificate != nil:
		return errors.New("credential_source: only a file or a url is understood here, no environment_id, executable or certificate")
	case (s.File == "") == (s.URL == ""):
		return errors.New("credential_source: it has neither a file nor a url, or both")
	case s.Format.Type == "json" && s.Format.Field == "":
		return errors.New("credential_source: the format json needs a subject_token_field_name")
	case s.Format.Type != "" && s.Format.Type != "json" && s.Format.Type != "text":
		return fmt.Errorf("credential_source: the format %q is neither text nor json", s.Format.Type)
	}
	return nil
}

func (p parser) external(text []byte) (source, error) {
	var f struct {
		Audience string
		Kind     string  `json:"subject_token_type"`
		Endpoint string  `json:"token_url"`
		ID       string  `json:"client_id"`
		Secret   string  `json:"client_secret"`
		Account  string  `json:"service_account_impersonation_url"`
		Subject  subject `json:"credential_source"`
	}
	if err := decode(text, &f); err != nil {
		return nil, err
	}
	if f.Audience == "" || f.Kind == "" || f.Endpoint == "" {
		return nil, errors.New("it has no audience, subject_token_type or token_url")
	}
	if err := f.Subject.check(); err != nil {
		return nil, err
	}
	e := external{asker: p.asker, audience: f.Audience, kind: f.Kind, endpoint: f.Endpoint, id: f.ID, secret: f.Secret, subject: f.Subject}
	if f.Account != "" {
		var err error
		if e.who, err = accountOf(f.Account, nil); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// idToken needs a service account: the federated identity itself gets only access tokens.
func (e external) idToken(ctx context.Context, audience string) (string, error) {
	if e.who.email == "" {
		return "", errors.New("the credentials name no service account (service_account_impersonation_url), and only those have ID tokens; " +
			"write `identity: NAME@PROJECT.iam.gserviceaccount.com`")
	}
	access, err := e.federated(ctx)
	if err != nil {
		return "", err
	}
	return e.who.idToken(ctx, e.asker, access, audience)
}

func (e external) accessToken(ctx context.Context) (string, error) {
	access, err := e.federated(ctx)
	if err != nil || e.who.email == "" {
		return access, err
	}
	return e.who.accessToken(ctx, e.asker, access)
}

// federated exchanges the subject's token.
func (e external) federated(ctx context.Context) (string, error) {
	token, err := e.subject.token(ctx, e.asker)
	if err != nil {
		return "", fmt.Errorf("the token of the other issuer: %w", err)
	}
	q := cloud.Question{URL: e.endpoint, Form: url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "requested_token_type": {"urn:ietf:params:oauth:token-type:access_token"},
		"audience": {e.audience}, "scope": {scope}, "subject_token_type": {e.kind}, "subject_token": {token},
	}}
	if e.id != "" {
		q.Fields = []exchange.Field{{Name: "Authorization", Value: cloud.Basic(e.id, e.secret)}}
	}
	var answer accessAnswer
	if err := e.asker.AskJSON(ctx, q, &answer); err != nil {
		return "", err
	}
	return answer.access()
}

// mostSubject is the maximum size of another issuer's token.
const mostSubject = 64 << 10

// token reads the token anew each time, because it is replaced before it expires.
func (s subject) token(ctx context.Context, asker *cloud.Asker) (string, error) {
	var text []byte
	var err error
	if s.File != "" {
		text, err = readSubject(s.File)
	} else {
		q := cloud.Question{URL: s.URL, Machine: strings.HasPrefix(s.URL, "http://")}
		for name, value := range s.Headers {
			q.Fields = append(q.Fields, exchange.Field{Name: name, Value: value})
		}
		text, err = asker.Ask(ctx, q)
	}
	if err != nil {
		return "", err
	}
	if s.Format.Type != "json" {
		return strings.TrimSpace(string(text)), nil
	}
	var fields map[string]json.RawMessage
	var token string
	if json.Unmarshal(text, &fields) != nil || json.Unmarshal(fields[s.Format.Field], &token) != nil || token == "" {
		return "", fmt.Errorf("it has no field %q", s.Format.Field)
	}
	return token, nil
}

func readSubject(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	defer func() { _ = f.Close() }()                  // it was only read
	return io.ReadAll(io.LimitReader(f, mostSubject)) //nolint:wrapcheck // it names the file
}
