package azure

import (
	"bytes"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/cloud"
	"github.com/weir-gateway/weir/internal/cloud/web"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/function"
)

// Config is an app of Azure Functions.
type Config struct {
	Pos      doc.Pos           `doc:"-,pos"`
	App      App               `doc:"azure,required" example:"shop" help:"The app's name, which is the first part of its host."`
	Host     Host              `doc:"host,omitzero" example:"functions.shop.dev" help:"The app's host: its own domain, the unique host that Azure has given it, or a host in another cloud (azurewebsites.us, chinacloudsites.cn). By default NAME.azurewebsites.net. {region} in it stands for the region."`
	Regions  []Region          `doc:"regions,omitzero" example:"[westeurope, northeurope]" help:"The app's regions, in the order in which they are tried; the name or the host must then contain {region}. The next region gets a request if the one before certainly did not accept it, and, if the method is safe or idempotent, also if that is uncertain."`
	Key      *config.Secret    `doc:"key,omitzero" example:"${env:SHOP_FUNCTIONS_KEY}" help:"The key that functions with the authorization level function or admin require: the function's key or the app's."`
	Identity *Identity         `doc:"identity,omitzero" example:"api://shop" help:"The identity that calls the app with a token of Microsoft Entra ID: the resource that the token is for, or a map. By default no token is sent."`
	Prefix   Prefix            `doc:"prefix" example:"none" help:"The prefix of the functions' paths, as in routePrefix of host.json; or none."`
	Routes   map[string]string `doc:"routes,omitzero" example:"{ price: 'prices/{item}' }" help:"The routes of functions that have one in their function.json; all other functions are at their names."`
	Endpoint Endpoint          `doc:"endpoint,omitzero" example:"https://10.0.0.8" help:"The address to connect to, instead of the app's host, which is still sent in the Host header. {region} in it stands for the region."`
	Timeout  time.Duration     `doc:"timeout" example:"30s" help:"Time until the head of the response arrives, including all attempts and the cold start; up to 230s, after which Azure itself responds."`
	Limits   web.Limits        `doc:"limits" help:"Limits on the use of the app."`

	together web.Settings // for all that is called on the platform
}

// cloudName is the platform's name under `clouds`.
const cloudName = "azure"

// InCloud implements config.Clouded.
func (c *Config) InCloud(of func(kind string) any) error {
	c.together = web.SettingsOf(cloudName, of)
	return nil
}

// Identity is the identity with which an app is called.
type Identity struct {
	Resource  string         `doc:"resource,required" example:"api://shop" help:"The resource that the token is for: the application id URI, or the client id, of the app's registration."`
	Client    string         `doc:"client,omitzero" example:"66666666-7777-8888-9999-000000000000" help:"The client id of the calling application, or of a managed identity; the environment's by default."`
	Tenant    string         `doc:"tenant,omitzero" example:"11111111-2222-3333-4444-555555555555" help:"The tenant in which the application is registered."`
	Secret    *config.Secret `doc:"secret,omitzero" example:"${env:SHOP_CLIENT_SECRET}" help:"The application's secret; by default the credentials that Azure's own tools would find."`
	Authority Authority      `doc:"authority,omitzero" example:"https://login.microsoftonline.us" help:"The authority that is asked for the token if there is a secret; by default AZURE_AUTHORITY_HOST, or https://login.microsoftonline.com."`
}

// DecodeDoc reads a resource, or a map.
func (i *Identity) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	*i = Identity{}
	if n.Kind == doc.Scalar {
		i.Resource = n.Value
		return
	}
	type long Identity
	doc.Decode(n, (*long)(i), ps)
}

// DocSchema implements doc.SchemaWriter.
func (Identity) DocSchema() *doc.Schema {
	type long Identity
	return doc.SchemaOr[long](doc.TextSchema("the resource that the token is for"))
}

// regionPlace is the placeholder for the region in names and hosts.
const regionPlace = "{region}"

// The grammar of Azure's names (Resource naming rules: Microsoft.Web/sites, regions;
// Functions: names of functions).
var (
	appForm      = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9-]{0,58}[a-zA-Z0-9]$`)
	functionForm = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]{0,127}$`)
	regionForm   = regexp.MustCompile(`^[a-z]{2,}[a-z0-9]*$`)
	idForm       = regexp.MustCompile(`^[a-zA-Z0-9.-]+$`) // of tenants and clients
)

func exampleRegion(text string) string { return strings.ReplaceAll(text, regionPlace, "westeurope") }

// App is the name of an app.
type App string

// UnmarshalText reads a name.
func (a *App) UnmarshalText(text []byte) error {
	*a = App(text)
	if !appForm.MatchString(exampleRegion(string(text))) {
		return fmt.Errorf("%q is no name of an app; names are 2 to 60 letters, digits and -", text)
	}
	return nil
}

// Host is a host of apps.
type Host string

// UnmarshalText reads a host without a port.
func (h *Host) UnmarshalText(text []byte) error {
	*h = Host(text)
	u, err := url.Parse("https://" + exampleRegion(string(text)))
	if err != nil || u.Host != u.Hostname() || u.Host == "" || "https://"+u.Host != u.String() || !strings.Contains(u.Host, ".") {
		return fmt.Errorf("%q is no host; write it as functions.shop.dev, without https:// and without a path", text)
	}
	return nil
}

// Region is a region of Azure.
type Region string

// UnmarshalText reads a region's name.
func (r *Region) UnmarshalText(text []byte) error {
	*r = Region(text)
	if !regionForm.Match(text) {
		return fmt.Errorf("%q is no region; regions are called like westeurope", text)
	}
	return nil
}

// Prefix is what precedes the paths of functions.
type Prefix string

// noPrefix is how the absence of a prefix is written.
const noPrefix = "none"

// UnmarshalText reads a path without a leading or trailing slash.
func (p *Prefix) UnmarshalText(text []byte) error {
	*p = Prefix(text)
	if bytes.ContainsAny(text, "{}?#%\\ ") || len(text) > 0 && slices.ContainsFunc(strings.Split(string(text), "/"), func(part string) bool { return part == "" || dots(part) }) {
		return fmt.Errorf("%q is no prefix; write it as routePrefix of host.json has it, without slashes around it, or none", text)
	}
	return nil
}

// Authority is where tokens are requested.
type Authority string

// UnmarshalText reads a URL without a path.
func (a *Authority) UnmarshalText(text []byte) error {
	*a = Authority(text)
	return cloud.CheckEndpoint(string(text)) //nolint:wrapcheck // it says what is wrong
}

// Endpoint is where apps are called, "" for their own hosts.
type Endpoint string

// UnmarshalText reads a URL without a path.
func (e *Endpoint) UnmarshalText(text []byte) error {
	*e = Endpoint(text)
	return cloud.CheckEndpoint(exampleRegion(string(text))) //nolint:wrapcheck // it says what is wrong
}

// The defaults that are not zero, and the limits of what makes sense.
const (
	defaultPrefix  = "api"
	defaultTimeout = 60 * time.Second  // includes cold starts
	mostTimeout    = 230 * time.Second // the limit of Azure's load balancer, for functions called over HTTP
	mostRegions    = 8
)

func defaults() Config {
	return Config{Prefix: defaultPrefix, Timeout: defaultTimeout, Limits: web.DefaultLimits()}
}

// host returns the app's host, with a placeholder for the region if there are several.
func (c *Config) host() string {
	if c.Host != "" {
		return string(c.Host)
	}
	return string(c.App) + ".azurewebsites.net"
}

const inItself = "%s: it stands in the config itself; write a reference such as ${env:%s}"

// validate reports all that is wrong with the config itself.
func (c *Config) validate() error {
	var problems function.Mistakes
	require := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	regional := strings.Contains(c.host(), regionPlace)
	require(len(c.Regions) == 0 || regional, "regions: name or host say where it is; put {region} into one of them where the region stands")
	require(len(c.Regions) > 0 || !regional, "regions: there is {region} in name or host, so say which there are, as `regions: [westeurope, northeurope]`")
	require(len(c.Regions) <= mostRegions, "regions: %d are more than %d", len(c.Regions), mostRegions)
	require(len(c.Regions) == len(slices.Compact(slices.Sorted(slices.Values(c.Regions)))), "regions: one of them stands there twice")
	require(c.Endpoint == "" || len(c.Regions) < 2 || strings.Contains(string(c.Endpoint), regionPlace),
		"endpoint: with several regions it must hold %s, or each of them would be the same", regionPlace)
	for _, name := range slices.Sorted(maps.Keys(c.Routes)) {
		require(functionForm.MatchString(name), "routes: %q is no name of a function", name)
		if _, err := c.template(name); err != nil {
			problems = append(problems, err)
		}
	}
	require(c.Key == nil || c.Key.Refers(), inItself, "key", "SHOP_FUNCTIONS_KEY")
	if i := c.Identity; i != nil {
		require(i.Secret == nil || i.Secret.Refers(), inItself, "identity.secret", "SHOP_CLIENT_SECRET")
		require(i.Authority == "" || i.Secret != nil, "identity.authority: it is where the token of a secret is asked for, and there is none; set AZURE_AUTHORITY_HOST for other tokens")
		require(i.Tenant == "" || idForm.MatchString(i.Tenant), "identity.tenant: %q is neither an id nor a domain", i.Tenant)
		require(i.Client == "" || idForm.MatchString(i.Client), "identity.client: %q is no client id", i.Client)
		require(i.Secret == nil || i.Client != "" && i.Tenant != "", "identity.secret: say with client and tenant whose it is")
		require(i.Resource != "", "identity.resource: say for what the token is, as api://shop")
	}
	require(c.Timeout > 0 && c.Timeout <= mostTimeout, "timeout: %v is not from more than nothing to %v, after which Azure answers itself", c.Timeout, mostTimeout)
	problems = append(problems, c.Limits.Mistakes()...)
	if len(problems) == 0 {
		return nil
	}
	return problems
}

// template returns the path of a function.
func (c *Config) template(name string) (template, error) {
	text, ok := c.Routes[name]
	if !ok {
		text = name
	}
	prefix := string(c.Prefix)
	if prefix == noPrefix {
		prefix = ""
	}
	p, err := parseTemplate(prefix, text)
	if err != nil {
		return p, fmt.Errorf("routes.%s: %q is not understood: %w", name, text, err)
	}
	return p, nil
}

// regions returns where the app is, in the order in which the regions are tried. If no region is configured, it is one
// region without a name.
func (c *Config) regions() []string {
	if len(c.Regions) == 0 {
		return []string{""}
	}
	list := make([]string, len(c.Regions))
	for i, r := range c.Regions {
		list[i] = string(r)
	}
	return list
}

// in returns the app's host in a region, and the URL at which it is called.
func (c *Config) in(region string) (host string, called *url.URL) {
	host = strings.ReplaceAll(c.host(), regionPlace, region)
	called = &url.URL{Scheme: "https", Host: host}
	if c.Endpoint != "" {
		called, _ = url.Parse(strings.ReplaceAll(string(c.Endpoint), regionPlace, region)) // was parsed before
		called.Path = ""
	}
	return host, called
}

func (c *Config) bounds() web.Bounds { return c.Limits.Bounds(c.Timeout) }

// same reports whether a running app may be kept. Its identity is which app it calls and with which identity; bounds
// and timeouts are not part of it.
func same(a, b *Config) bool {
	return a.App == b.App && a.Host == b.Host && slices.Equal(a.Regions, b.Regions) && text(a.Key) == text(b.Key) && a.Prefix == b.Prefix &&
		maps.Equal(a.Routes, b.Routes) && a.Endpoint == b.Endpoint && a.Identity.same(b.Identity)
}

func text(s *config.Secret) string {
	if s == nil {
		return ""
	}
	return s.String()
}

func (i *Identity) same(o *Identity) bool {
	if i == nil || o == nil {
		return i == o
	}
	return i.Resource == o.Resource && i.Client == o.Client && i.Tenant == o.Tenant && i.Authority == o.Authority && text(i.Secret) == text(o.Secret)
}

// Reaches returns what this app can reach, in the forms in which a group is allowed backends.
func (c *Config) Reaches() []string {
	list := []string{"azure:" + string(c.App)}
	if c.Host != "" {
		list = append(list, "https://"+string(c.Host))
	}
	if i := c.Identity; i != nil {
		list = append(list, "resource:"+i.Resource)
		if i.Client != "" && i.Secret == nil {
			list = append(list, "client:"+i.Client)
		}
	}
	if c.Endpoint != "" {
		list = append(list, string(c.Endpoint))
	}
	return list
}
