package gcf

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/cloud"
	"github.com/weir-gateway/weir/internal/cloud/google"
	"github.com/weir-gateway/weir/internal/cloud/web"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/function"
)

// Config is a Google Cloud function.
type Config struct {
	Pos           doc.Pos       `doc:"-,pos"`
	Function      Name          `doc:"gcf,required" example:"place-order@europe-west1/shop-42" help:"The function: NAME@REGION/PROJECT, or its URL; a Cloud Run service has such a URL too."`
	Regions       []Region      `doc:"regions,omitzero" example:"[europe-west1, europe-north1]" help:"The function's regions, in the order in which they are tried. The next region gets a request if the one before certainly did not accept it, and, if the method is safe or idempotent, also if that is uncertain. A URL must then contain {region}."`
	Audience      string        `doc:"audience,omitzero" example:"https://orders.shop.dev" help:"The audience of the ID token; by default the function's URL, on Cloud Run (*.run.app) without its path. {region} in it stands for the region."`
	Identity      Identity      `doc:"identity,omitzero" example:"gateway@shop-42.iam.gserviceaccount.com" help:"The calling identity: the service account to impersonate, none, or a map. By default the identity of the credentials that Google's own tools would find."`
	Authorization Authorization `doc:"authorization" example:"replace" help:"Where to send the ID token: auto (in Authorization or, if the client's request has an Authorization header, which then passes, in X-Serverless-Authorization), replace (in Authorization; the client's does not pass) or beside (always in X-Serverless-Authorization)."`
	Protocol      Protocol      `doc:"protocol" example:"h2" help:"http (HTTP/1.1, which WebSockets need) or h2 (HTTP/2, which gRPC needs)."`
	Endpoint      Endpoint      `doc:"endpoint,omitzero" example:"https://10.0.0.8" help:"The address to connect to, instead of the host in the function's URL, which is still sent in the Host header. {region} in it stands for the region."`
	Timeout       time.Duration `doc:"timeout" example:"30s" help:"Time until the head of the response arrives, including all attempts and the cold start."`
	Limits        web.Limits    `doc:"limits" help:"Limits on the use of the function."`

	together web.Settings // for all that is called on the platform
}

// cloudName is the platform's name under `clouds`.
const cloudName = "google"

// InCloud implements config.Clouded.
func (c *Config) InCloud(of func(kind string) any) error {
	c.together = web.SettingsOf(cloudName, of)
	return nil
}

// Name is the name under which a function is called.
type Name struct{ google.Target }

// UnmarshalText reads a name or a URL.
func (n *Name) UnmarshalText(text []byte) error {
	var err error
	n.Target, err = google.ParseFunction(string(text))
	return err //nolint:wrapcheck // it says what is wrong
}

// MarshalText writes it in the form in which it is read.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// Region is a region of Google Cloud.
type Region string

// UnmarshalText reads a region's name.
func (r *Region) UnmarshalText(text []byte) error {
	*r = Region(text)
	return google.CheckRegion(string(text)) //nolint:wrapcheck // it says what is wrong
}

// Identity is the identity of the caller.
type Identity struct {
	Impersonate string         `doc:"impersonate,omitzero" example:"gateway@shop-42.iam.gserviceaccount.com" help:"The service account to impersonate with the credentials."`
	Delegates   []string       `doc:"delegates,omitzero" example:"[between@shop-42.iam.gserviceaccount.com]" help:"Service accounts in between, each of which may impersonate the next."`
	Credentials *config.Secret `doc:"credentials,omitzero" example:"${file:/run/secrets/gateway.json}" help:"The key of a service account, or a user's credentials, as JSON; instead of what Google's own tools would find."`

	None bool `doc:"-"`
}

// nobody is how the absence of an identity is written.
const nobody = "none"

// DecodeDoc reads an account, none, or a map.
func (i *Identity) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	*i = Identity{}
	at := n
	switch {
	case n.Kind == doc.Scalar && n.Value == nobody:
		i.None = true
		return
	case n.Kind == doc.Scalar:
		i.Impersonate = n.Value
	default:
		type long Identity
		doc.Decode(n, (*long)(i), ps)
		at = n.Get("impersonate")
	}
	if at == nil || at.Kind != doc.Scalar {
		return
	}
	if err := google.CheckAccount(i.Impersonate); err != nil {
		ps.Add(doc.Problem{Pos: at.Pos, What: "the identity is not understood", Why: err.Error(), Fix: "write a service account's address, which IAM's page of the project shows, or none"})
	}
}

// EncodeDoc writes it in the form in which it is read.
func (i Identity) EncodeDoc() *doc.Node {
	if i.None {
		return &doc.Node{Kind: doc.Scalar, Value: nobody}
	}
	type long Identity
	return doc.EncodeNode(long(i))
}

// DocSchema implements doc.SchemaWriter.
func (Identity) DocSchema() *doc.Schema {
	type long Identity
	return doc.SchemaOr[long](doc.TextSchema("the service account that is spoken for, or none"))
}

// IsZero reports whether nothing is configured.
func (i Identity) IsZero() bool { return i.same(Identity{}) }

func (i Identity) same(o Identity) bool {
	text := func(s *config.Secret) string {
		if s == nil {
			return ""
		}
		return s.String()
	}
	return i.None == o.None && i.Impersonate == o.Impersonate && slices.Equal(i.Delegates, o.Delegates) && text(i.Credentials) == text(o.Credentials)
}

// Authorization is the place of the token in a request.
type Authorization string

// The places.
const (
	Auto    Authorization = "auto"
	Replace Authorization = "replace"
	Beside  Authorization = "beside"
)

// UnmarshalText reads a place.
func (a *Authorization) UnmarshalText(text []byte) error {
	*a = Authorization(text)
	return doc.OneOf("a place", string(text), string(Auto), string(Replace), string(Beside)) //nolint:wrapcheck // it says what is wrong
}

// Protocol is the protocol with which the function is called.
type Protocol string

// The protocols.
const (
	HTTP Protocol = "http"
	H2   Protocol = "h2"
)

// UnmarshalText reads a protocol.
func (p *Protocol) UnmarshalText(text []byte) error {
	*p = Protocol(text)
	return doc.OneOf("a protocol", string(text), string(HTTP), string(H2)) //nolint:wrapcheck // it says what is wrong
}

// Endpoint is where functions are called, "" for their own hosts.
type Endpoint string

// UnmarshalText reads a URL without a path.
func (e *Endpoint) UnmarshalText(text []byte) error {
	*e = Endpoint(text)
	return cloud.CheckEndpoint(strings.ReplaceAll(string(text), google.RegionPlace, "europe-west1")) //nolint:wrapcheck // it says what is wrong
}

// The defaults that are not zero, and the limits of what makes sense.
const (
	defaultTimeout = 60 * time.Second // includes cold starts
	mostTimeout    = time.Hour        // the limit for a request to Cloud Run
	mostRegions    = 8
)

func defaults() Config {
	return Config{Authorization: Auto, Protocol: HTTP, Timeout: defaultTimeout, Limits: web.DefaultLimits()}
}

// validate reports all that is wrong with the config itself.
func (c *Config) validate() error {
	var problems function.Mistakes
	require := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	require(len(c.Regions) == 0 || c.Function.Regional(), "regions: the URL says where it is; put {region} into it where the region stands")
	require(len(c.Regions) > 0 || !c.Function.Regional() || c.Function.Region() != "", "regions: the URL has {region} in it, so say which there are, as `regions: [europe-west1, europe-north1]`")
	require(len(c.Regions) == 0 || c.Function.Region() == "" || slices.Contains(c.Regions, Region(c.Function.Region())), "regions: they do not hold %s, which the name says", c.Function.Region())
	require(len(c.Regions) <= mostRegions, "regions: %d are more than %d", len(c.Regions), mostRegions)
	require(len(c.Regions) == len(slices.Compact(slices.Sorted(slices.Values(c.Regions)))), "regions: one of them stands there twice")
	require(c.Endpoint == "" || len(c.Regions) < 2 || strings.Contains(string(c.Endpoint), google.RegionPlace),
		"endpoint: with several regions it must hold %s, or each of them would be the same", google.RegionPlace)
	require(!c.Identity.None || c.Audience == "", "audience: without an identity there is no token that could be for anybody")
	require(c.Identity.Credentials == nil || c.Identity.Credentials.Refers(), "identity.credentials: it stands in the config itself; write a reference such as ${file:/run/secrets/gateway.json}")
	require(len(c.Identity.Delegates) == 0 || c.Identity.Impersonate != "", "identity.delegates: they lead to nobody; say with impersonate to whom")
	for _, d := range c.Identity.Delegates {
		if err := google.CheckAccount(d); err != nil {
			problems = append(problems, fmt.Errorf("identity.delegates: %w", err))
		}
	}
	require(c.Timeout > 0 && c.Timeout <= mostTimeout, "timeout: %v is not from more than nothing to %v, which is as long as a request to Cloud Run may take", c.Timeout, mostTimeout)
	problems = append(problems, c.Limits.Mistakes()...)
	if len(problems) == 0 {
		return nil
	}
	return problems
}

// regions returns where the function is, in the order in which the regions are tried. If neither the config nor the
// function's name or URL says a region, it is one region without a name.
func (c *Config) regions() []string {
	if len(c.Regions) == 0 {
		return []string{c.Function.Region()}
	}
	list := make([]string, len(c.Regions))
	for i, r := range c.Regions {
		list[i] = string(r)
	}
	return list
}

// runDomain is the domain of Cloud Run services, whose tokens have the URL without its path as their audience
// (Cloud Run, Use custom audiences). Functions of the first generation have their names in their paths.
const runDomain = ".run.app"

// in returns the function's URL in a region, the audience of its tokens, and the URL at which it is called.
func (c *Config) in(region string) (own *url.URL, audience string, called *url.URL) {
	text := c.Function.In(region)
	own, _ = url.Parse(text) // was parsed before
	audience = text
	if strings.HasSuffix(own.Hostname(), runDomain) {
		audience = own.Scheme + "://" + own.Host
	}
	if c.Audience != "" {
		audience = strings.ReplaceAll(c.Audience, google.RegionPlace, region)
	}
	called = own
	if c.Endpoint != "" {
		called, _ = url.Parse(strings.ReplaceAll(string(c.Endpoint), google.RegionPlace, region)) // was parsed before
		called.Path, called.RawPath = own.Path, own.RawPath
	}
	return own, audience, called
}

func (c *Config) bounds() web.Bounds { return c.Limits.Bounds(c.Timeout) }

// same reports whether a running function may be kept. Its identity is which function it calls and with which identity;
// bounds and timeouts are not part of it.
func same(a, b *Config) bool {
	return a.Function == b.Function && slices.Equal(a.Regions, b.Regions) && a.Audience == b.Audience && a.Identity.same(b.Identity) &&
		a.Authorization == b.Authorization && a.Protocol == b.Protocol && a.Endpoint == b.Endpoint
}

// Reaches returns what this function can reach, in the forms in which a group is allowed backends.
func (c *Config) Reaches() []string {
	var list []string
	for _, region := range c.regions() {
		list = append(list, "gcf:"+c.Function.In(region))
	}
	if c.Audience != "" && !c.Identity.None { // a token for another audience
		list = append(list, c.Audience)
	}
	if c.Identity.Impersonate != "" {
		list = append(list, "account:"+c.Identity.Impersonate)
	}
	if c.Endpoint != "" {
		list = append(list, string(c.Endpoint))
	}
	return list
}

var errNowhere = errors.New("nothing says where it is; write its region and project behind it, or its URL, or declare it under functions")
