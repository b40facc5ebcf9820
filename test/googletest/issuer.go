// Package googletest is a double of Google's token issuers for tests: the metadata server, the OAuth 2.0 and security
// token services and the IAM Credentials API. It checks each field as Google documents it, answers with Google's
// errors, and signs what it issues.
package googletest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/test/issuertest"
)

// Account is the service account that all of it is about.
const Account = "gateway@shop-42.iam.gserviceaccount.com"

const (
	keyID    = "key-1"
	keyBits  = 2048
	accessOf = "ya29."
	scope    = "https://www.googleapis.com/auth/cloud-platform"
)

// Issuer is all of these issuers at one address.
type Issuer struct {
	*issuertest.Issuer

	t   testing.TB
	key *rsa.PrivateKey
}

// Start starts an Issuer that ends with the test.
func Start(t testing.TB) *Issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		t.Fatal(err)
	}
	i := &Issuer{t: t, key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /computeMetadata/v1/instance/service-accounts/default/identity", i.identity)
	mux.HandleFunc("GET /computeMetadata/v1/instance/service-accounts/default/token", i.access)
	mux.HandleFunc("POST /token", i.oauth)
	mux.HandleFunc("POST /v1/token", i.sts)
	mux.HandleFunc("POST /v1/projects/-/serviceAccounts/{call}", i.iam)
	mux.HandleFunc("GET /subject", i.subject)
	mux.HandleFunc("GET /oauth2/v3/certs", i.certs)
	i.Issuer = issuertest.Start(t, mux, issuertest.Refusal{Code: "unavailable", Text: "The service is currently unavailable."})
	return i
}

// Host is the address of the metadata server, for GCE_METADATA_HOST.
func (i *Issuer) Host() string { return strings.TrimPrefix(i.URL, "http://") }

func answer(w http.ResponseWriter, fields map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(fields)
}

// Token signs an ID token as Google would.
func (i *Issuer) Token(audience string) string {
	now := time.Now()
	return i.sign(map[string]any{
		"iss": "https://accounts.google.com", "aud": audience, "azp": Account, "sub": "1234", "email": Account, "email_verified": true,
		"iat": now.Unix(), "exp": now.Add(i.Life()).Unix(),
	})
}

func (i *Issuer) sign(claims map[string]any) string {
	var parts []string
	for _, part := range []map[string]any{{"alg": "RS256", "kid": keyID, "typ": "JWT"}, claims} {
		raw, err := json.Marshal(part)
		if err != nil {
			i.t.Error(err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(raw))
	}
	text := strings.Join(parts, ".")
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, digest[:])
	if err != nil {
		i.t.Error(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// Keys returns the keys that verify what it signs, as a JWK Set.
func (i *Issuer) Keys() string {
	n := base64.RawURLEncoding.EncodeToString(i.key.N.Bytes())
	e := base64.RawURLEncoding.EncodeToString(big.NewInt(int64(i.key.E)).Bytes())
	return fmt.Sprintf(`{"keys":[{"kty":"RSA","use":"sig","alg":"RS256","kid":%q,"n":%q,"e":%q}]}`, keyID, n, e)
}

func (i *Issuer) certs(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, i.Keys()) }

// machine checks what every call of the metadata server must have.
func (i *Issuer) machine(w http.ResponseWriter, r *http.Request, name string) bool {
	if r.Header.Get("Metadata-Flavor") != "Google" {
		i.t.Errorf("%s: Metadata-Flavor is %q", name, r.Header.Get("Metadata-Flavor"))
	}
	if r.Header.Get("X-Forwarded-For") != "" {
		i.t.Errorf("%s: it refuses what was forwarded", name)
	}
	w.Header().Set("Metadata-Flavor", "Google")
	return i.Called(w, r, name)
}

func (i *Issuer) identity(w http.ResponseWriter, r *http.Request) {
	if !i.machine(w, r, "identity") {
		return
	}
	q := r.URL.Query()
	if q.Get("audience") == "" {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "non-empty audience parameter required")
		return
	}
	if q.Get("format") != "full" {
		i.t.Errorf("identity: format is %q", q.Get("format"))
	}
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, i.Token(q.Get("audience")))
}

func (i *Issuer) access(w http.ResponseWriter, r *http.Request) {
	if i.machine(w, r, "machine token") {
		answer(w, map[string]any{"access_token": accessOf + "machine", "expires_in": 3599, "token_type": "Bearer"})
	}
}

// form checks the fields of a request, all of them.
func (i *Issuer) form(r *http.Request, name string, want map[string]string) url.Values {
	if kind := r.Header.Get("Content-Type"); kind != "application/x-www-form-urlencoded" {
		i.t.Errorf("%s: the type is %q", name, kind)
	}
	if err := r.ParseForm(); err != nil {
		i.t.Errorf("%s: %v", name, err)
	}
	for field, value := range want {
		if got := r.PostForm.Get(field); got != value {
			i.t.Errorf("%s: %s is %q, not %q", name, field, got, value)
		}
	}
	return r.PostForm
}

// oauth is https://oauth2.googleapis.com/token.
func (i *Issuer) oauth(w http.ResponseWriter, r *http.Request) {
	grant := r.PostFormValue("grant_type")
	if !i.Called(w, r, grant) {
		return
	}
	switch grant {
	case "refresh_token":
		form := i.form(r, grant, map[string]string{"client_id": "id.apps.googleusercontent.com", "client_secret": "secret"})
		if form.Get("refresh_token") != "1//refresh" {
			issuertest.Refuse(w, http.StatusBadRequest, issuertest.Refusal{Code: "invalid_grant", Text: "Token has been expired or revoked."})
			return
		}
		answer(w, map[string]any{"access_token": accessOf + "user", "expires_in": 3599, "token_type": "Bearer", "scope": scope, "id_token": i.Token("id.apps.googleusercontent.com")})
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		i.assertion(w, r.PostFormValue("assertion"))
	default:
		issuertest.Refuse(w, http.StatusBadRequest, issuertest.Refusal{Code: "unsupported_grant_type", Text: "Invalid grant_type: " + grant})
	}
}

// assertion checks what a service account has signed.
func (i *Issuer) assertion(w http.ResponseWriter, text string) {
	parts := strings.Split(text, ".")
	var head struct{ Alg, Kid, Typ string }
	var claims struct {
		Iss, Sub, Aud, Scope string
		Target               string `json:"target_audience"`
		Iat, Exp             int64
	}
	if len(parts) != 3 || !decode(parts[0], &head) || !decode(parts[1], &claims) {
		i.t.Errorf("no token: %q", text)
		return
	}
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	now := time.Now().Unix()
	if head.Alg != "RS256" || head.Kid != keyID || head.Typ != "JWT" || claims.Iss != Account || claims.Sub != Account || claims.Aud != i.URL+"/token" ||
		claims.Iat > now || claims.Exp <= now || claims.Exp-claims.Iat > 3600 || (claims.Target == "") == (claims.Scope == "") {
		i.t.Errorf("the assertion is %+v %+v", head, claims)
	}
	if rsa.VerifyPKCS1v15(&i.key.PublicKey, crypto.SHA256, digest[:], signature) != nil {
		issuertest.Refuse(w, http.StatusBadRequest, issuertest.Refusal{Code: "invalid_grant", Text: "Invalid JWT Signature."})
		return
	}
	if claims.Target != "" {
		answer(w, map[string]any{"id_token": i.Token(claims.Target)})
		return
	}
	answer(w, map[string]any{"access_token": accessOf + "account", "expires_in": 3599, "token_type": "Bearer"})
}

func decode(part string, into any) bool {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(raw, into) == nil
}

// Pool is the audience of the workload identity pool.
const Pool = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/shop/providers/cluster"

// sts is https://sts.googleapis.com/v1/token.
func (i *Issuer) sts(w http.ResponseWriter, r *http.Request) {
	form := i.form(r, "sts", map[string]string{ //nolint:gosec // names of kinds
		"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "audience": Pool, "scope": scope,
		"requested_token_type": "urn:ietf:params:oauth:token-type:access_token", "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
	})
	if !i.Called(w, r, "sts") {
		return
	}
	if form.Get("subject_token") != "subject-1" {
		issuertest.Refuse(w, http.StatusBadRequest, issuertest.Refusal{Code: "invalid_grant", Text: "The token is not accepted."})
		return
	}
	answer(w, map[string]any{"access_token": accessOf + "federated", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "token_type": "Bearer", "expires_in": 3600}) //nolint:gosec // made up
}

// subject is the token endpoint of another issuer.
func (i *Issuer) subject(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Subject") != "yes" {
		i.t.Errorf("the subject's header is missing")
	}
	if i.Called(w, r, "subject") {
		answer(w, map[string]any{"value": "subject-1"})
	}
}

// iam is https://iamcredentials.googleapis.com.
func (i *Issuer) iam(w http.ResponseWriter, r *http.Request) {
	email, method, _ := strings.Cut(r.PathValue("call"), ":")
	if !i.Called(w, r, method) {
		return
	}
	var body struct {
		Audience     string
		IncludeEmail bool
		Scope        []string
		Delegates    []string
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.Header.Get("Content-Type") != "application/json" {
		i.t.Errorf("%s: %v", method, err)
	}
	for _, d := range body.Delegates {
		if !strings.HasPrefix(d, "projects/-/serviceAccounts/") {
			i.t.Errorf("%s: a delegate is %q", method, d)
		}
	}
	switch {
	case !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "+accessOf) || email != Account:
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"error":{"code":403,"message":"Permission 'iam.serviceAccounts.getOpenIdToken' denied on resource (or it may not exist).","status":"PERMISSION_DENIED"}}`)
	case method == "generateIdToken":
		if body.Audience == "" || !body.IncludeEmail {
			i.t.Errorf("generateIdToken: %+v", body)
		}
		answer(w, map[string]any{"token": i.Token(body.Audience)})
	case method == "generateAccessToken":
		if !slices.Equal(body.Scope, []string{scope}) {
			i.t.Errorf("generateAccessToken: %+v", body)
		}
		answer(w, map[string]any{"accessToken": accessOf + "spoken-for", "expireTime": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
	default:
		i.t.Errorf("unknown method %q", method)
	}
}

// File returns a credentials file: "service_account", "authorized_user", "external_account" with the subject's token
// at subject, or "impersonated_service_account" on top of a user.
func (i *Issuer) File(kind, subject string) string {
	fields := map[string]any{"type": kind, "universe_domain": "googleapis.com"}
	speaks := i.URL + "/v1/projects/-/serviceAccounts/" + Account
	switch kind {
	case "service_account":
		der, err := x509.MarshalPKCS8PrivateKey(i.key)
		if err != nil {
			i.t.Fatal(err)
		}
		maps.Copy(fields, map[string]any{
			"client_email": Account, "private_key_id": keyID, "token_uri": i.URL + "/token",
			"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		})
	case "authorized_user":
		maps.Copy(fields, map[string]any{"client_id": "id.apps.googleusercontent.com", "client_secret": "secret", "refresh_token": "1//refresh", "token_uri": i.URL + "/token"})
	case "external_account":
		source := map[string]any{"file": subject}
		if strings.Contains(subject, "://") {
			source = map[string]any{"url": subject, "headers": map[string]string{"X-Subject": "yes"}, "format": map[string]string{"type": "json", "subject_token_field_name": "value"}}
		}
		maps.Copy(fields, map[string]any{ //nolint:gosec // names of kinds
			"audience": Pool, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": i.URL + "/v1/token",
			"service_account_impersonation_url": speaks + ":generateAccessToken", "credential_source": source,
		})
	case "impersonated_service_account":
		maps.Copy(fields, map[string]any{
			"service_account_impersonation_url": speaks + ":generateAccessToken", "delegates": []string{"projects/-/serviceAccounts/between@shop-42.iam.gserviceaccount.com"},
			"source_credentials": json.RawMessage(i.File("authorized_user", "")),
		})
	}
	text, err := json.Marshal(fields)
	if err != nil {
		i.t.Fatal(err)
	}
	return string(text)
}
