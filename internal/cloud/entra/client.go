package entra

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/weir-gateway/weir/internal/cloud"
)

// application is an application that authenticates itself (Microsoft identity platform, "OAuth 2.0 client credentials
// flow"): with its secret, or with a token of an issuer that it trusts.
type application struct {
	asker                               *cloud.Asker
	authority, tenant, client, resource string
	secret                              string
	federated                           string // a file; "" to use the secret
}

func (a application) token(ctx context.Context) (got answer, err error) {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {a.client}, "scope": {scopeOf(a.resource)}}
	if a.federated == "" {
		form.Set("client_secret", a.secret)
	} else {
		assertion, err := os.ReadFile(a.federated)
		if err != nil {
			return got, fmt.Errorf("the federated token: %w", err)
		}
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		form.Set("client_assertion", strings.TrimSpace(string(assertion)))
	}
	address := strings.TrimSuffix(a.authority, "/") + "/" + url.PathEscape(a.tenant) + "/oauth2/v2.0/token"
	err = a.asker.AskJSON(ctx, cloud.Question{URL: address, Form: form}, &got)
	return got, err
}

// scopeOf returns the scope that asks for all permissions that the application was given on a resource.
func scopeOf(resource string) string { return strings.TrimSuffix(resource, "/.default") + "/.default" }
