// Package config holds Weir's only config model. Files, the admin API and Kubernetes objects all become this model,
// which is validated once and then read by the compiler.
//
// This file defines the canonical (long) form. The short forms that people write are sugar for it. Load reads both
// forms, Validate checks the canonical form whatever its source, Expand prints it and Schema describes what may be
// written. This package knows nothing of the runtime: the code that assembles the program passes in the kinds of
// filters, services and functions as a Vocabulary.
package config

import (
	"cmp"
	"crypto/tls"
	"net/netip"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// Config is everything that serves. It is immutable once it has been validated.
type Config struct {
	Sockets   []Socket
	Listeners []Listener
	Routes    []Route
	Services  []Service
	Functions []Function
	// Compositions are the named compositions and those written on routes.
	Compositions []Composition
	// Auths are the ways of recognising callers. Routes refer to them by name.
	Auths []Auth
	// Discoveries say how to reach sources of endpoints, one element for each kind that has settings.
	Discoveries []Discovery
	// Clouds are the platforms that have settings.
	Clouds  []Cloud
	Streams []Stream
	Limits  Limits
	// LimitsOrigin is where Limits was written.
	LimitsOrigin Origin
	Shutdown     Shutdown
	// Resolver is how the names of endpoints are looked up for services without a resolver of their own; nil: as this
	// machine does.
	Resolver *Resolver
	// Zone is where this gateway is; endpoints in the same zone are preferred. It is "" if no zone is given.
	Zone string
	// TrustedProxies are the peers whose forwarding fields (X-Forwarded-*, Forwarded, X-Request-Id) are trusted. The
	// default is none.
	TrustedProxies []netip.Prefix
	Admin          Admin
	// LambdaAPI is the API of AWS Lambda, served on a listener of its own; nil: it is not served.
	LambdaAPI *LambdaAPI
	// Registry is the registry of this process, served on a listener of its own; nil: there is none.
	Registry  *Registry
	Telemetry Telemetry
	// Problems says how much a client learns about a problem.
	Problems Verbosity
	// Engine reads and writes HTTP/1.x on every socket and with every service; see Engine.OrUsual.
	Engine Engine
	// Groups are the teams that own elements. Validate checks what they may reach.
	Groups []Group
	// ObjectReach says where backends named by objects may be, in addition to the addresses that are open to all
	// backends.
	ObjectReach egress.Bounds
	// Tests are requests with expected results. They run before every swap.
	Tests []Test
}

// Verbosity says how much a client learns about a problem.
type Verbosity string

// BriefProblems tell a client only what it did wrong. VerboseProblems, which are for development, add near misses and
// details that are otherwise for operators only.
const (
	BriefProblems   Verbosity = "brief"
	VerboseProblems Verbosity = "verbose"
)

// Engine is the code that reads and writes HTTP/1.x messages.
type Engine string

// StdEngine is net/http's server behind Weir's grammar, and net/http's client. OwnEngine is Weir's own code.
const (
	StdEngine Engine = "std"
	OwnEngine Engine = "own"
)

// OrUsual returns e, or OwnEngine if e is the zero value. Objects never set an engine.
func (e Engine) OrUsual() Engine { return cmp.Or(e, OwnEngine) }

// Origin says where an element was written: at a place in a file, or in an object.
type Origin struct {
	doc.Pos
	Object string // "HTTPRoute shop/orders", "" for files
	// Via names the source of an inherited element: "defaults", "group shop"; "" if the element was written where it
	// takes effect.
	Via string
}

func (o Origin) String() string {
	if o.Object != "" {
		return o.Object
	}
	return o.Pos.String()
}

// MarshalText writes an origin as String does.
func (o Origin) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Socket is a bound address: "host:port", ":port" or "unix:/path". Several listeners may share one.
type Socket struct {
	Name    string
	Address string
	Origin  Origin
}

// Protocol is the protocol of a listener.
type Protocol string

// The protocols of listeners. HTTP includes h2c by prior knowledge.
const (
	HTTP  Protocol = "HTTP"
	HTTPS Protocol = "HTTPS"
	TLS   Protocol = "TLS"
	TCP   Protocol = "TCP"
	UDP   Protocol = "UDP"
)

// Listener is a logical listener on a socket. Socket and host decide which listener a request belongs to, before Weir
// looks at any route. There is no fallback to another listener.
type Listener struct {
	Name     string
	Socket   string // Socket.Name
	Protocol Protocol
	Hostname string // "" any, "shop.dev", "*.shop.dev"
	TLS      *ServerTLS
	// Announced says that connections begin with a PROXY protocol header; nil: they do not. All listeners on a socket
	// have the same value.
	Announced *Announced
	// API names the API that is served here instead of routes: LambdaAPIName or RegistryName; "": none.
	API    string
	Origin Origin
}

// Routed reports whether routes may attach to l.
func (l *Listener) Routed() bool { return l.API == "" && (l.Protocol == HTTP || l.Protocol == HTTPS) }

// Announced holds the peers that may announce, by the PROXY protocol, whose connection they pass on.
type Announced struct {
	// By are the addresses of these peers; nil: the config's TrustedProxies. On a Unix socket, every peer that can
	// connect may announce.
	By []netip.Prefix
}

// ServerTLS says how a listener terminates or passes on TLS.
type ServerTLS struct {
	Passthrough bool
	// Certificates are the candidates; the server name that a client asks for decides. The first one is for clients
	// that ask for no name, or for one that no certificate has.
	Certificates []Certificate
	// StrictNames refuses those clients instead.
	StrictNames bool
	Client      ClientAuth
	ClientCA    *Secret       // PEM; set if Client asks for a certificate
	MinVersion  uint16        // of crypto/tls; 0: DefaultMinVersion
	Ciphers     []uint16      // for TLS 1.2; those of TLS 1.3 cannot be chosen; nil: Go's
	Curves      []tls.CurveID // for the key exchange, in no order; nil: Go's
}

// ClientAuth says whether a client that connects with TLS must show a certificate.
type ClientAuth string

// A client certificate is not asked for, checked if there is one, or required.
const (
	NoClientAuth       ClientAuth = ""
	OptionalClientAuth ClientAuth = "optional"
	RequireClientAuth  ClientAuth = "require"
)

// Certificate names a key pair; certificate and key are each a secret or a file.
type Certificate struct {
	Cert, Key Secret
	Origin    Origin
}

// Route is a set of matches that share one chain of filters, one set of limits and counters, and one choice of
// backends.
type Route struct {
	Name      string // unique; files: its key, objects: "HTTPRoute ns/name rule 0"
	Group     string // the group or namespace it belongs to
	Origin    Origin
	Listeners []string // names; empty means every HTTP listener
	Hosts     []string // empty means any; "shop.dev", "*.shop.dev", "{tenant}.shop.dev"
	Matches   []Match  // at least one must match
	Filters   []Filter // in the fixed order
	// Backends may be empty if one of Filters (respond, redirect) answers.
	Backends []Backend
	Sticky   *Expr // key that keeps a client on its variant; nil: chosen by chance
	Timeouts Timeouts
	Retry    *Retry
	Policy   SourcePolicy
	// EncodedSlash lets paths with %2F or %5C reach this route. They are otherwise refused as ambiguous.
	EncodedSlash bool
	// Forwarded names the fields about the client that the backend gets, of forward.Withholdable; nil: all of them.
	Forwarded *Forwarded
	// Via holds the origins of inherited fields by their key ("timeout", "retry", "forwarded"), for Expand. It leaves out the
	// route's own fields.
	Via map[string]Origin
	// Broken is why this route cannot serve. The route then answers 500 to every request that it matches, so that a
	// less specific and perhaps open route does not get them instead.
	Broken string
}

// Forwarded is a list of names of header fields.
type Forwarded struct{ Names []string }

// SourcePolicy holds the settings in which the sources of routes differ by contract.
type SourcePolicy struct {
	// WrongMethod is the status for a path that exists only with other methods: 405 for files, 404 for the Gateway API.
	WrongMethod int
	// HeadByGet lets a GET route answer HEAD (files: true).
	HeadByGet bool
	// Rank breaks the last tie between identical matches; the lower one wins. If it is empty on both, an identical
	// match is an error. For Kubernetes it is age, then name.
	Rank string
}

// Match is one typed set of conditions on a request. The zero value matches everything.
type Match struct {
	Method  string // "" any
	Path    PathMatch
	Headers []FieldMatch
	Query   []FieldMatch
	Cookies []FieldMatch
	When    *Expr // must be true; an error is no match
	Origin  Origin
}

// PathMatch matches the normalised path. At most one field is set. Values from objects never become a Pattern. The zero
// value matches every path.
type PathMatch struct {
	Exact   string // "/x"
	Prefix  string // by whole segments: "/x" covers /x, /x/ and /x/y
	Pattern string // Weir's grammar: {id}, {rest...}, **, {id}.json, {id}:cancel
}

// FieldMatch compares one header, query parameter or cookie. The case of header names does not matter.
type FieldMatch struct {
	Name  string
	Value string
	Regex bool // Value is an RE2 expression that must match the whole value
}

// Filter is one policy; its config has the type of its kind.
type Filter struct {
	Name   string
	Config any
	Origin Origin
}

// Backend is one of the backends that may answer.
type Backend struct {
	When   *Expr // chosen if true; the first true one wins before weights count
	Weight int   // share among those without When; 0: never
	// Ref is the backend that answers. It is empty if Status or one of Filters (respond, redirect) answers instead.
	Ref Ref
	// Status answers with this status instead of Ref; an object's invalid reference becomes this.
	Status  int
	Reason  string // why, for explain
	Filters []Filter
	Origin  Origin
}

// Ref names a backend: a URL with a scheme, as `http://users:8080`, `k8s:shop/catalog:http`, `fn:orders`, or the name
// of a service, function or composition of the file (Scheme "").
type Ref struct {
	Scheme string // "http", "k8s", "fn", ...; "" for a name
	Rest   string // the text after "scheme:" without a path ("//users:8080"), or the name
	Group  string // the group or namespace that names it; grants are checked against it
	Origin Origin
}

func (r Ref) String() string {
	if r.Scheme == "" {
		return r.Rest
	}
	return r.Scheme + ":" + r.Rest
}

// Authority returns the host of a URL, with the port if the URL has one; "" if r is not a URL.
func (r Ref) Authority() string {
	authority, ok := strings.CutPrefix(r.Rest, "//")
	if !ok || r.Scheme != "http" && r.Scheme != "https" {
		return ""
	}
	return authority
}

// Function returns the name of the function that r may refer to, and its part. The part is the function of an app
// (`fn:APP/FUNCTION`, `azure:APP/FUNCTION`), or the alias of a function elsewhere (`lambda:NAME:ALIAS`, if no region
// follows).
func (r Ref) Function() (name, part string) {
	switch {
	case r.Scheme == functionScheme:
		name, part, _ = strings.Cut(r.Rest, "/")
		return name, part
	case r.Scheme == azureScheme:
		name, part, _ = strings.Cut(r.Rest, "/")
		return name, part
	case r.Scheme == lambdaScheme && !strings.Contains(r.Rest, "@"):
		if name, part, _ = strings.Cut(r.Rest, ":"); name != "arn" {
			return name, part
		}
	}
	return r.Rest, ""
}

// Service is a backend with endpoints, in its long form.
type Service struct {
	Name      string
	Group     string
	Origin    Origin
	Source    Ref        // where endpoints are found; empty Scheme: Endpoints
	Endpoints []Endpoint // static ones
	Protocol  string     // "http" (HTTP/1.1), "h2c", "h2", "grpc"; "" by the Ref's scheme
	TLS       *ClientTLS // nil: plain
	Resolver  *Resolver  // how names among them are looked up; nil: the config's
	Announce  string     // "v1", "v2": the PROXY protocol version that tells endpoints the client; "": none
	Timeouts  Timeouts
	Retry     *Retry
	Balance   *Balance // nil: DefaultBalance
	Breaker   *Breaker // nil: none
	Health    *Health
	Outlier   *Outlier // nil: DefaultOutlier
	Hold      *Hold    // nil: DefaultHold
	Panic     *int     // percent, 0: never; nil: DefaultPanic
}

// Endpoint is one static address of a service.
type Endpoint struct {
	Address string // host:port or unix:/path
	Weight  int    // 1 by default
	Zone    string
	Origin  Origin
}

// ClientTLS says how Weir verifies an endpoint and what certificate it presents.
type ClientTLS struct {
	ServerName string   // "" the endpoint's host
	CA         *Secret  // PEM; nil: the system's
	SANs       []string // the certificate must have one of them
	// Certificate is presented to endpoints that ask for one; nil: none.
	Certificate *Certificate
}

// Function is a backend that is invoked; Config has the type of its kind.
type Function struct {
	Name   string
	Group  string
	Kind   string // "run": a local process
	Config any
	Origin Origin
	Keys   Places // nil: the function was not written as a map
}

// Stream is a TCP, UDP or TLS-passthrough path.
type Stream struct {
	Name      string
	Group     string
	Origin    Origin
	Listeners []string
	Hosts     []string // server names for TLS
	Backends  []Backend
}

// Timeouts bound an exchange with a backend. On a route, 0 means the service's value; on a service, 0 means the value
// of DefaultTimeouts. NoTimeout means no bound.
type Timeouts struct {
	Connect time.Duration // to get a connection, TLS included
	Head    time.Duration // from sending the request to the head of the response
	Idle    time.Duration // between two pieces of a body
	Total   time.Duration // from the first try to the last byte; upgrades are exempt
}

// NoTimeout is a timeout that never expires (`none` in a file).
const NoTimeout time.Duration = -1

// Retry says when another try is made, on another endpoint if there is one. A request that was certainly not processed
// is retried whatever its method, otherwise only if its method is safe or idempotent (RFC 9110 section 9.2.2).
type Retry struct {
	Attempts int // further tries; 0 none
	// Statuses are responses that count as failures: 502, 503, 504 ... If 504 is among them, a response head that does
	// not arrive in time is a failure too.
	Statuses []int
	// Unsent allows further tries only if certainly no backend has acted on the request, whatever the method. It is for
	// the writes of a composition.
	Unsent bool
	// Budget bounds the further tries of a service over all routes; nil: DefaultBudget. Only a service has one.
	Budget *Budget
}

// NoRate is the absence of a minimum rate (`none` in a file).
const NoRate int64 = -1

// Limits bound what one client, or all clients together, may use. All have defaults.
type Limits struct {
	HeadBytes    int           // request line and fields of one request
	HeadFields   int           // number of field lines
	URLBytes     int           // request target
	BodyBytes    int64         // request body; 0: no bound
	Connections  int           // open client connections
	PerClient    int           // of one client; 0: no bound
	InFlight     int           // requests at once
	FirstRequest time.Duration // from accept to the end of the first request's head
	HeadTime     time.Duration // from a head's first byte to its end
	KeepAlive    time.Duration // idle between requests
	BodyRate     int64         // bytes of content a second while one side waits for the client; NoRate: no bound
	MemoryBytes  int64         // soft limit; 0: from the cgroup
}

// Shutdown says how the gateway ends. Whatever a change of the config removes also ends within Drain.
type Shutdown struct {
	// Delay is the time from the failure of readiness until no connection is accepted any more, so that load balancers
	// can notice.
	Delay  time.Duration
	Drain  time.Duration // for requests in progress and other open work; 0: that of DefaultShutdown
	Origin Origin
}

// Admin is the operators' API.
type Admin struct {
	Address string  // "127.0.0.1:8081", "unix:/run/weir.sock", "off"
	Token   *Secret // required for every change of state
	Origin  Origin
}

// Expr is a CEL expression with its place; Source is without the leading '='.
type Expr struct {
	Source string
	Pos    doc.Pos
}

// Secret is a value that is never printed. It is a template that is resolved when the config is compiled, so that `weir
// check` needs no secrets.
type Secret struct {
	secret.Template
	Pos doc.Pos
}

// Group is a team: what it owns and what it may reach. A nil slice sets no bound, an empty slice allows nothing. In
// patterns `*` stands for any text.
type Group struct {
	Name      string
	Listeners []string // the only listeners that its routes may attach to
	Hosts     []string // the only hosts that its routes may match; routes without hosts get all of them
	Allow     []string // patterns of backends beyond its own: "k8s:shop/*", "http://*.shop.internal:80*", "catalog"
	Secrets   []string // patterns of references: "env:SHOP_*", "file:/run/secrets/shop/*"
	// Reach says where its backends and issuers may be, in addition to the Internet and private networks. The zero
	// value adds nothing.
	Reach  egress.Bounds
	Origin Origin
}

// Test is a request with expected results; empty expectations are not checked.
type Test struct {
	Request TestRequest
	Route   string // the name of the route that must match, "none" for no route
	Backend string // the reference or name that must be chosen, "none" for none
	Status  int    // the gateway's answer; 200 if it passes the request on
	Group   string
	Origin  Origin
}

// TestRequest is a request as `weir test` makes it.
type TestRequest struct {
	Method   string
	Host     string
	Path     string // with query
	Listener string // "" the first HTTP listener
	As       string // the caller: a subject, or a JSON object of claims; "" none
	Client   string // the address that the request comes from; "" this machine
	Headers  []FieldMatch
	Body     string
}
