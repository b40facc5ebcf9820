package google

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"time"

	"github.com/weir-gateway/weir/internal/cloud"
)

// tokenEndpoint is Google's own.
const tokenEndpoint = "https://oauth2.googleapis.com/token" //nolint:gosec // an address

// serviceAccount is the key of a service account (Google Identity, "Using OAuth 2.0 for server to server applications";
// RFC 7523).
type serviceAccount struct {
	asker    *cloud.Asker
	email    string
	key      *rsa.PrivateKey
	keyID    string
	endpoint string
	now      func() time.Time
}

func (p parser) serviceAccount(text []byte) (source, error) {
	var f struct {
		Email    string `json:"client_email"`
		Key      string `json:"private_key"`
		KeyID    string `json:"private_key_id"`
		Endpoint string `json:"token_uri"`
	}
	if err := decode(text, &f); err != nil {
		return nil, err
	}
	if f.Email == "" {
		return nil, errors.New("it has no client_email")
	}
	key, err := parseKey(f.Key)
	if err != nil {
		return nil, fmt.Errorf("private_key: %w", err)
	}
	if f.Endpoint == "" {
		f.Endpoint = tokenEndpoint
	}
	return serviceAccount{p.asker, f.Email, key, f.KeyID, f.Endpoint, time.Now}, nil
}

func parseKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("it is no PEM")
	}
	if block.Type == "RSA PRIVATE KEY" {
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("it is no RSA key") // err may quote the key
		}
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok {
		return nil, errors.New("it is no RSA key")
	}
	return key, nil
}

func (s serviceAccount) idToken(ctx context.Context, audience string) (string, error) {
	answer, err := s.exchange(ctx, map[string]any{"target_audience": audience})
	if err == nil && answer.ID == "" {
		err = errors.New("the issuer's answer holds no id_token")
	}
	return answer.ID, err
}

func (s serviceAccount) accessToken(ctx context.Context) (string, error) {
	answer, err := s.exchange(ctx, map[string]any{"scope": scope})
	if err != nil {
		return "", err
	}
	return answer.access()
}

// exchange gets a token from the issuer for claims that the account signs.
func (s serviceAccount) exchange(ctx context.Context, claims map[string]any) (answer accessAnswer, err error) {
	now := s.now()
	maps.Copy(claims, map[string]any{"iss": s.email, "sub": s.email, "aud": s.endpoint, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()})
	assertion, err := s.sign(claims)
	if err != nil {
		return answer, err
	}
	err = s.asker.AskJSON(ctx, cloud.Question{URL: s.endpoint, Form: url.Values{
		"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion},
	}}, &answer)
	return answer, err
}

// sign makes a JSON Web Token from claims (RFC 7515, RS256).
func (s serviceAccount) sign(claims map[string]any) (string, error) {
	head := map[string]any{"alg": "RS256", "typ": "JWT"}
	if s.keyID != "" {
		head["kid"] = s.keyID
	}
	var text string
	for _, part := range []map[string]any{head, claims} {
		raw, err := json.Marshal(part)
		if err != nil {
			return "", fmt.Errorf("token: %w", err)
		}
		if text != "" {
			text += "."
		}
		text += base64.RawURLEncoding.EncodeToString(raw)
	}
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, digest[:])
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// user is a person who has signed in with gcloud (RFC 6749 section 6).
type user struct {
	asker               *cloud.Asker
	id, secret, refresh string
	endpoint            string
}

func (p parser) user(text []byte) (source, error) {
	var f struct {
		ID       string `json:"client_id"`
		Secret   string `json:"client_secret"`
		Refresh  string `json:"refresh_token"`
		Endpoint string `json:"token_uri"`
	}
	if err := decode(text, &f); err != nil {
		return nil, err
	}
	if f.ID == "" || f.Refresh == "" {
		return nil, errors.New("it has no client_id or no refresh_token")
	}
	if f.Endpoint == "" {
		f.Endpoint = tokenEndpoint
	}
	return user{p.asker, f.ID, f.Secret, f.Refresh, f.Endpoint}, nil
}

// idToken fails: Google gives people a token for gcloud, whatever audience is asked for (Google Cloud, "Get an ID
// token").
func (user) idToken(context.Context, string) (string, error) {
	return "", errors.New("the credentials are a person's (authorized_user), for whom Google makes no ID token of another audience; " +
		"write `identity: NAME@PROJECT.iam.gserviceaccount.com`, a service account that this person may speak for")
}

func (u user) accessToken(ctx context.Context) (string, error) {
	var answer accessAnswer
	err := u.asker.AskJSON(ctx, cloud.Question{URL: u.endpoint, Form: url.Values{
		"grant_type": {"refresh_token"}, "client_id": {u.id}, "client_secret": {u.secret}, "refresh_token": {u.refresh},
	}}, &answer)
	if err != nil {
		return "", err
	}
	return answer.access()
}
