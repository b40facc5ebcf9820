package entra

import (
	"errors"
	"os"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/cloud"
)

// environment looks for an identity in the order of Azure's own tools
// (DefaultAzureCredential): an application's secret, workload identity, a managed identity.
type environment struct{ getenv func(string) string }

func system() environment { return environment{os.Getenv} }

// The variables of Azure's tools and platforms.
const (
	clientVariable    = "AZURE_CLIENT_ID"
	tenantVariable    = "AZURE_TENANT_ID"
	secretVariable    = "AZURE_CLIENT_SECRET" //nolint:gosec // a name
	federatedVariable = "AZURE_FEDERATED_TOKEN_FILE"
	authorityVariable = "AZURE_AUTHORITY_HOST"
	endpointVariable  = "IDENTITY_ENDPOINT"
	headerVariable    = "IDENTITY_HEADER"
	machineVariable   = "AZURE_POD_IDENTITY_AUTHORITY_HOST"

	publicAuthority = "https://login.microsoftonline.com"
	usualMachine    = "http://169.254.169.254"
)

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func (e environment) find(asker *cloud.Asker, who Caller, given secret.Value) (source, error) {
	client, tenant := or(who.Client, e.getenv(clientVariable)), or(who.Tenant, e.getenv(tenantVariable))
	app := application{
		asker: asker, authority: or(who.Authority, or(e.getenv(authorityVariable), publicAuthority)),
		tenant: tenant, client: client, resource: who.Resource,
	}
	switch own := e.getenv(secretVariable); {
	case !given.Empty():
		app.secret = given.Reveal()
		return app, app.check()
	case own != "" && who.Client == "" && client != "" && tenant != "":
		app.secret = own
		return app, nil
	}
	if file := e.getenv(federatedVariable); file != "" {
		app.federated = file
		return app, app.check()
	}
	if endpoint := e.getenv(endpointVariable); endpoint != "" && e.getenv(headerVariable) != "" {
		return appService{asker, endpoint, e.getenv(headerVariable), who.Resource, client}, nil
	}
	return instance{asker, or(e.getenv(machineVariable), usualMachine), who.Resource, client}, nil
}

func (a application) check() error {
	if a.tenant == "" || a.client == "" {
		return errors.New("the application needs a tenant and a client id: say them with identity, or with " + tenantVariable + " and " + clientVariable)
	}
	return nil
}
