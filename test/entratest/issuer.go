// Package entratest is a double of Microsoft's token issuers for tests: the identity platform, App Service's identity
// endpoint and the metadata service. It checks each field as Microsoft documents it, and answers with Microsoft's
// errors.
package entratest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-gateway/weir/test/issuertest"
)

// The names of the application and the machine.
const (
	Tenant   = "11111111-2222-3333-4444-555555555555"
	Client   = "66666666-7777-8888-9999-000000000000"
	Secret   = "s3cret~"
	Resource = "api://orders"
	Header   = "853b9a84-5bfa-4b22-a3f3-0b9a43d9ad8a"
)

// Issuer is all of these issuers at one address.
type Issuer struct {
	*issuertest.Issuer

	t     testing.TB
	given atomic.Int64
}

// Start starts an Issuer that ends with the test.
func Start(t testing.TB) *Issuer {
	t.Helper()
	i := &Issuer{t: t}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /"+Tenant+"/oauth2/v2.0/token", i.platform)
	mux.HandleFunc("GET /msi/token", i.appService)
	mux.HandleFunc("GET /metadata/identity/oauth2/token", i.machine)
	i.Issuer = issuertest.Start(t, mux, issuertest.Refusal{Code: "temporarily_unavailable", Text: "AADSTS90033: A transient error has occurred. Please try again."})
	return i
}

// next returns a token, and how long it is valid.
func (i *Issuer) next() (token string, life time.Duration) {
	return "token-" + strconv.FormatInt(i.given.Add(1), 10), i.Life()
}

// platform is https://login.microsoftonline.com.
func (i *Issuer) platform(w http.ResponseWriter, r *http.Request) {
	if kind := r.Header.Get("Content-Type"); kind != "application/x-www-form-urlencoded" {
		i.t.Errorf("the type is %q", kind)
	}
	want := map[string]string{"grant_type": "client_credentials", "client_id": Client, "scope": Resource + "/.default"}
	for name, value := range want {
		if got := r.PostFormValue(name); got != value {
			i.t.Errorf("%s is %q, not %q", name, got, value)
		}
	}
	name := "secret"
	if r.PostForm.Has("client_assertion") {
		name = "federated"
		if kind := r.PostFormValue("client_assertion_type"); kind != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			i.t.Errorf("client_assertion_type is %q", kind)
		}
	}
	if !i.Called(w, r, name) {
		return
	}
	switch {
	case name == "secret" && r.PostFormValue("client_secret") != Secret:
		issuertest.Refuse(w, http.StatusUnauthorized, issuertest.Refusal{Code: "invalid_client", Text: "AADSTS7000215: Invalid client secret provided."})
		return
	case name == "federated" && r.PostFormValue("client_assertion") != "assertion-1":
		issuertest.Refuse(w, http.StatusUnauthorized, issuertest.Refusal{Code: "invalid_client", Text: "AADSTS700024: Client assertion is not within its valid time range."})
		return
	}
	token, life := i.next()
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(map[string]any{"token_type": "Bearer", "expires_in": int(life.Seconds()), "ext_expires_in": int(life.Seconds()), "access_token": token})
}

// Machines get numbers as strings.
func (i *Issuer) give(w http.ResponseWriter, fields map[string]any) {
	token, life := i.next()
	fields["access_token"], fields["expires_on"], fields["token_type"], fields["resource"] = token, strconv.FormatInt(time.Now().Add(life).Unix(), 10), "Bearer", Resource
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(fields)
}

// asked checks the query of a machine.
func (i *Issuer) asked(w http.ResponseWriter, r *http.Request, version string) bool {
	q := r.URL.Query()
	if q.Get("api-version") != version || q.Get("resource") != Resource {
		i.t.Errorf("the query is %v", q)
	}
	if client := q.Get("client_id"); client != "" && client != Client {
		issuertest.Refuse(w, http.StatusBadRequest, issuertest.Refusal{Code: "invalid_request", Text: "Identity not found"})
		return false
	}
	return true
}

func (i *Issuer) appService(w http.ResponseWriter, r *http.Request) {
	if got := r.Header.Get("X-Identity-Header"); got != Header {
		i.t.Errorf("X-IDENTITY-HEADER is %q", got)
	}
	if i.Called(w, r, "app service") && i.asked(w, r, "2019-08-01") {
		i.give(w, map[string]any{"client_id": Client})
	}
}

func (i *Issuer) machine(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Metadata") != "true" || r.Header.Get("X-Forwarded-For") != "" {
		i.t.Errorf("the fields are %v", r.Header)
	}
	if i.Called(w, r, "machine") && i.asked(w, r, "2018-02-01") {
		i.give(w, map[string]any{"client_id": Client, "expires_in": "3599", "not_before": "1"})
	}
}
