package aws

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/weir-gateway/weir/internal/cloud"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Region is the name of an AWS region in a config.
type Region string

// UnmarshalText reads a region's name.
func (r *Region) UnmarshalText(text []byte) error {
	*r = Region(text)
	return CheckRegion(string(text))
}

// Endpoint is the address of a service's API; "" means AWS's own. {region} in it stands for the region.
type Endpoint string

// regionPlace stands for the region in an endpoint.
const regionPlace = "{region}"

// UnmarshalText reads a URL without a path.
func (e *Endpoint) UnmarshalText(text []byte) error {
	*e = Endpoint(text)
	return cloud.CheckEndpoint(strings.ReplaceAll(string(text), regionPlace, "eu-west-1")) //nolint:wrapcheck // it says what is wrong
}

// In returns the endpoint of a service in a region: whether it uses TLS, and its host and port.
func (e Endpoint) In(service, region string) (secure bool, host string) {
	if e == "" {
		return true, Host(service, region)
	}
	u, _ := url.Parse(strings.ReplaceAll(string(e), regionPlace, region)) // was parsed before
	return u.Scheme == "https", u.Host
}

// Everywhere reports whether the endpoint differs for each region.
func (e Endpoint) Everywhere() bool { return e == "" || strings.Contains(string(e), regionPlace) }

// Role is a role to assume.
type Role struct {
	ARN        string `doc:"arn,required" example:"arn:aws:iam::123456789012:role/gateway" help:"The role's ARN."`
	ExternalID string `doc:"external_id,omitzero" example:"shop-42" help:"The external id that the role's owner requires, so that the gateway cannot be tricked into using the role for someone else."`
	Session    string `doc:"session" example:"weir" help:"The session name under which AWS's logs list the gateway."`
}

// DecodeDoc reads an ARN, or a map.
func (r *Role) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	*r = Role{Session: DefaultSession}
	if n.Kind == doc.Scalar {
		r.ARN = n.Value
		r.check(n, ps)
		return
	}
	type long Role
	doc.Decode(n, (*long)(r), ps)
	r.check(n.Get("arn"), ps)
	wrong := func(key, what, why, fix string, right bool) {
		if at := n.Get(key); at != nil && at.Kind == doc.Scalar && !right {
			ps.Add(doc.Problem{Pos: at.Pos, What: fmt.Sprintf("the %s %q is not understood", what, at.Value), Why: why, Fix: fix})
		}
	}
	wrong("session", "session", "AWS takes 2 to 64 letters, digits and _+=,.@-", "for example `session: weir-prod`", sessionForm.MatchString(r.Session))
	wrong("external_id", "external id", "it is sent as it stands here, for it is no secret, and AWS takes 2 to 1224 letters, digits and _+=,.@:/-",
		"write it as the role's owner has it in the condition sts:ExternalId", len(r.ExternalID) <= mostExternal && externalForm.MatchString(r.ExternalID))
}

// check says what is wrong with the ARN, which stands at the node at.
func (r *Role) check(at *doc.Node, ps *doc.Problems) {
	if at == nil || at.Kind != doc.Scalar {
		return
	}
	if err := CheckRole(r.ARN); err != nil {
		ps.Add(doc.Problem{Pos: at.Pos, What: "the role is not understood", Why: err.Error(), Fix: "write its ARN, which its page in the console of IAM shows"})
	}
}

// DocSchema implements doc.SchemaWriter.
func (Role) DocSchema() *doc.Schema {
	type long Role
	return doc.SchemaOr[long](doc.TextSchema("the ARN of the role"))
}

// Account returns the number of the account that the role belongs to.
func (r *Role) Account() string { return strings.Split(r.ARN, ":")[4] }
