package google

import (
	"context"
	"errors"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/cloud"
)

// account is a service account that is impersonated through the IAM Credentials API.
type account struct {
	api       string // "https://iamcredentials.googleapis.com"
	email     string
	delegates []string
}

const resource = "projects/-/serviceAccounts/"

func (a account) ask(ctx context.Context, asker *cloud.Asker, access, method string, body map[string]any, into any) error {
	if len(a.delegates) > 0 {
		names := make([]string, len(a.delegates))
		for i, d := range a.delegates {
			names[i] = resource + d
		}
		body["delegates"] = names
	}
	return asker.AskJSON(ctx, cloud.Question{
		URL:    strings.TrimSuffix(a.api, "/") + "/v1/" + resource + a.email + ":" + method,
		JSON:   body,
		Fields: []exchange.Field{{Name: "Authorization", Value: "Bearer " + access}},
	}, into)
}

// idToken calls the method projects.serviceAccounts.generateIdToken.
func (a account) idToken(ctx context.Context, asker *cloud.Asker, access, audience string) (string, error) {
	var answer struct{ Token string }
	if err := a.ask(ctx, asker, access, "generateIdToken", map[string]any{"audience": audience, "includeEmail": true}, &answer); err != nil {
		return "", err
	}
	if answer.Token == "" {
		return "", errors.New("the answer of generateIdToken holds no token")
	}
	return answer.Token, nil
}

// accessToken calls the method projects.serviceAccounts.generateAccessToken.
func (a account) accessToken(ctx context.Context, asker *cloud.Asker, access string) (string, error) {
	var answer struct{ AccessToken string }
	if err := a.ask(ctx, asker, access, "generateAccessToken", map[string]any{"scope": []string{scope}}, &answer); err != nil {
		return "", err
	}
	return accessAnswer{Access: answer.AccessToken}.access()
}

// impersonation is an account that another source impersonates.
type impersonation struct {
	asker *cloud.Asker
	from  source
	who   account
}

func (i impersonation) idToken(ctx context.Context, audience string) (string, error) {
	access, err := i.from.accessToken(ctx)
	if err != nil {
		return "", err
	}
	return i.who.idToken(ctx, i.asker, access, audience)
}

func (i impersonation) accessToken(ctx context.Context) (string, error) {
	access, err := i.from.accessToken(ctx)
	if err != nil {
		return "", err
	}
	return i.who.accessToken(ctx, i.asker, access)
}
