package entra

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/cloud"
)

// appService is the identity of an app of App Service, Functions or Container Apps ("Use managed identities", REST
// endpoint reference).
type appService struct {
	asker                              *cloud.Asker
	endpoint, header, resource, client string
}

func (a appService) token(ctx context.Context) (got answer, err error) {
	err = a.asker.AskJSON(ctx, cloud.Question{
		URL: a.endpoint + "?" + query("2019-08-01", a.resource, a.client), Machine: true,
		Fields: []exchange.Field{{Name: "X-Identity-Header", Value: a.header}},
	}, &got)
	return got, err
}

// instance is the identity of a virtual machine or a node, from its metadata service ("How to use managed identities on
// an Azure VM to acquire an access token").
type instance struct {
	asker                  *cloud.Asker
	base, resource, client string
}

func (i instance) token(ctx context.Context) (got answer, err error) {
	err = i.asker.AskJSON(ctx, cloud.Question{
		URL: strings.TrimSuffix(i.base, "/") + "/metadata/identity/oauth2/token?" + query("2018-02-01", i.resource, i.client), Machine: true,
		Fields: []exchange.Field{{Name: "Metadata", Value: "true"}},
	}, &got)
	if err != nil {
		err = fmt.Errorf("no application is named (%s, %s or %s), and the metadata service gives nothing: %w", secretVariable, federatedVariable, endpointVariable, err)
	}
	return got, err
}

// query returns the query for metadata services, which expect a resource where others expect scopes.
func query(version, resource, client string) string {
	q := url.Values{"api-version": {version}, "resource": {strings.TrimSuffix(resource, "/.default")}}
	if client != "" {
		q.Set("client_id", client)
	}
	return q.Encode()
}
