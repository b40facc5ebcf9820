// Package sign is the filter that signs requests to a backend in the gateway's own name, as AWS's function URLs and API
// Gateway require.
//
//   - config.go: the config.
//   - host.go: the service and region of an AWS host.
//   - sign.go: the signature of a request, and AWS's answer to it.
package sign

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/keep"
	"github.com/weir-gateway/weir/internal/base/room"
	"github.com/weir-gateway/weir/internal/cloud/aws"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
)

// Config is the value of `sign`.
type Config struct {
	As      Scheme     `doc:"as,required" help:"the signature scheme: aws, which is Signature Version 4" example:"aws"`
	Service string     `doc:"service,omitzero" help:"AWS's name of the service; by default derived from the host" example:"execute-api"`
	Region  aws.Region `doc:"region,omitzero" help:"the service's region; by default derived from the host" example:"eu-west-1"`
	Host    string     `doc:"host,omitzero" help:"the host to send and sign; the backend's own by default" example:"abc123.execute-api.eu-west-1.amazonaws.com"`
	Account string     `doc:"account,omitzero" help:"the account under clouds.aws.accounts whose role or profile is used to sign" example:"shop"`
	Role    *aws.Role  `doc:"role" help:"the role to assume, in addition to the credentials that are found; plain text is the role's ARN" example:"arn:aws:iam::123456789012:role/gateway"`
	Profile string     `doc:"profile,omitzero" help:"the profile in AWS's shared config whose credentials are used" example:"production"`
	Body    doc.Size   `doc:"body" help:"the largest body; the whole body is read before it is sent, because its hash is signed" example:"10MiB"`

	settled // the settings of clouds.aws
}

// Scheme is a signing scheme.
type Scheme string

// AWS is Signature Version 4.
const AWS Scheme = "aws"

// UnmarshalText reads a signing scheme.
func (s *Scheme) UnmarshalText(text []byte) error {
	if *s = Scheme(text); *s != AWS {
		return fmt.Errorf("%q is no way to sign; aws is", text)
	}
	return nil
}

// settled has the settings that apply in addition to the filter's own config.
type settled struct {
	in   aws.Account
	room int64
}

// The bounds of bodies. AWS accepts 6 MiB for function URLs and 10 MiB for API Gateway.
const (
	defaultBody = 6 * doc.MiB
	mostBody    = 64 * doc.MiB
)

func defaults() Config {
	said := aws.DefaultSettings()
	return Config{Body: defaultBody, settled: settled{said.Account, int64(said.Room)}}
}

// DecodeDoc reads `aws` or a map.
func (c *Config) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	type long Config
	if n.Kind == doc.Scalar {
		n = n.Under("as")
	}
	if !doc.Decode(n, (*long)(c), ps) {
		return
	}
	if err := c.validate(); err != nil {
		ps.Add(doc.Problem{Pos: n.Pos, What: err.Error()})
	}
}

// EncodeDoc writes the long form.
func (c *Config) EncodeDoc() *doc.Node {
	type long Config
	return doc.EncodeNode((*long)(c))
}

// DocSchema implements doc.SchemaWriter.
func (*Config) DocSchema() *doc.Schema {
	type long Config
	return doc.SchemaOr[long](doc.TextSchema("aws"))
}

var serviceForm = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

func (c *Config) validate() error {
	switch {
	case c.Service != "" && !serviceForm.MatchString(c.Service):
		return fmt.Errorf("service: %q is no name of a service of AWS", c.Service)
	case c.Body < 1 || c.Body > mostBody:
		return fmt.Errorf("body: %v is not from 1 to %v", c.Body, mostBody)
	case c.Host != "":
		if _, err := httpx.NormalizeHost(c.Host); err != nil {
			return fmt.Errorf("the host %q cannot be sent: it is a name or address with perhaps a port", c.Host)
		}
	}
	return nil
}

// InCloud implements config.Clouded.
func (c *Config) InCloud(of func(kind string) any) error {
	said := aws.SettingsOf(of)
	number := ""
	if c.Role != nil && aws.CheckRole(c.Role.ARN) == nil {
		number = c.Role.Account()
	}
	found, err := said.Find(c.Account, number)
	if err != nil {
		return err //nolint:wrapcheck // it says what is wrong
	}
	c.settled = settled{*found, int64(said.Room)}
	return nil
}

// ReachesAt returns the permissions of the gateway that the filter uses in front of a backend with that host, in the
// form in which a group is granted them (config.ReachingAt): a signature for one service gives access to everything
// that the gateway may do there, wherever the request is sent. build refuses a host that does not tell the service.
func (c *Config) ReachesAt(host string) []string {
	var list []string
	if service, region := c.place(cmp.Or(c.Host, host)); service != "" && region != "" {
		list = append(list, "sign:"+string(c.As)+":"+service+"@"+region)
	}
	if c.Host != "" { // the receiver of the request can forward it there
		list = append(list, "https://"+c.Host)
	}
	if c.Role != nil {
		list = append(list, "role:"+c.Role.ARN)
	}
	if c.Profile != "" {
		list = append(list, "profile:"+c.Profile)
	}
	if c.Account != "" {
		list = append(list, "account:"+c.Account)
	}
	return list
}

// place returns the service and region for which requests to a host are signed, "" if unknown.
func (c *Config) place(host string) (service, region string) {
	service, region = placeOf(host)
	return cmp.Or(c.Service, service), cmp.Or(string(c.Region), region)
}

// caller returns the identity that signs. As with a function, a filter with a profile of its own assumes no role that
// it does not name.
func (c *Config) caller(region string) aws.Caller {
	role := c.Role
	if role == nil && c.Profile == "" {
		role = c.in.Role
	}
	return aws.CallerOf(cmp.Or(c.Profile, c.in.Profile), region, role)
}

// Definition is this kind of filter. All filters that sign with the same identity share its credentials.
func Definition() filter.Definition {
	return filter.Define("sign", "signs requests to the backend in the gateway's own name", filter.StageSign, defaults, build)
}

func build(env filter.Env, c *Config) (filter.Policy, error) {
	if err := c.validate(); err != nil {
		return filter.Policy{}, err
	}
	host := cmp.Or(c.Host, env.Authority)
	service, region := c.place(host)
	s := &signer{config: c, host: host, service: service, region: region, log: env.Log}
	if s.service == "" || s.region == "" {
		if host == "" {
			return filter.Policy{}, errors.New("service and region are not known; the backend here is no URL, so write `sign: { as: aws, service: lambda, region: eu-west-1, host: ... }`")
		}
		return filter.Policy{}, fmt.Errorf("service and region are not known from the host %s; write `sign: { as: aws, service: lambda, region: eu-west-1 }`", host)
	}
	s.signer = aws.NewSigner(s.service)
	var err error
	if s.credentials, err = credentials(env, c.caller(s.region)); err != nil {
		return filter.Policy{}, err
	}
	if s.room, err = keep.In(env.Keep, "room", func() (*room.Room, func(context.Context), error) { return room.New(c.room), nil, nil }); err != nil {
		return filter.Policy{}, err //nolint:wrapcheck // it says what is wrong
	}
	if s.room != nil {
		s.room.Tune(c.room)
	}
	note := fmt.Sprintf("aws, %s in %s", s.service, s.region)
	return filter.Policy{Adapt: s.adapt, Rehearse: s.rehearse, Note: note, ForOneBackend: true}, nil
}

// credentials returns the credentials of a caller, shared by all filters that sign with the same identity.
func credentials(env filter.Env, who aws.Caller) (*aws.Credentials, error) {
	identity := fmt.Sprintf("credentials %q %q %q %q %q", who.Profile, who.Region, who.Role, who.ExternalID, who.Session)
	return keep.In(env.Keep, identity, func() (*aws.Credentials, func(context.Context), error) { //nolint:wrapcheck // it says what is wrong
		callers := aws.NewCallers()
		return callers.Use(who, env.Log), func(context.Context) { callers.Leave(who) }, nil
	})
}
