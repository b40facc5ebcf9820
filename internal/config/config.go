// Package config is Weir's one model: what a file, the admin API and Kubernetes
// objects all become, what is validated once and what the compiler reads.
//
// This file holds the canonical (long) form. What people write is sugar for it:
// Load reads both, Validate checks the canonical form whatever it was made from,
// Expand prints it and Schema describes what may be written. Nothing here knows
// the runtime: kinds of filters, services and functions are handed in as a
// Vocabulary by whoever wires the program.
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

// Config is everything that serves. It is immutable once it was validated.
type Config struct {
	Sockets   []Socket
	Listeners []Listener
	Routes    []Route
	Services  []Service
	Functions []Function
	// Compositions are those with a name of their own and those of routes.
	Compositions []Composition
	// Auths are the ways of recognising callers, which routes name.
	Auths []Auth
	// Discoveries are how sources of endpoints are reached, one for each kind of which something is said.
	Discoveries []Discovery
	// Clouds are the platforms of which something is said.
	Clouds  []Cloud
	Streams []Stream
	Limits  Limits
	// LimitsOrigin is where Limits was written.
	LimitsOrigin Origin
	Shutdown     Shutdown
	// Resolver is how the names of endpoints are looked up where a service does not say; nil: as
	// this machine does.
	Resolver *Resolver
	// Zone is where this gateway is, "" where nobody says: endpoints of the same are preferred.
	Zone string
	// TrustedProxies are the peers whose forwarding fields (X-Forwarded-*,
	// Forwarded, X-Request-Id) count. None by default.
	TrustedProxies []netip.Prefix
	Admin          Admin
	// LambdaAPI is the API of AWS Lambda, on the one listener that is its own; nil: there is none.
	LambdaAPI *LambdaAPI
	// Registry is this process's own, on the one listener that is its own; nil: there is none.
	Registry  *Registry
	Telemetry Telemetry
	// Problems is how much clients are told of a problem.
	Problems Verbosity
	// Engine is what reads and writes HTTP/1.x on every socket and with every service; see Engine.OrUsual.
	Engine Engine
	// Groups are the teams that own elements; what they may reach is held by Validate.
	Groups []Group
	// ObjectReach is where backends may be that objects name, beside the addresses that
	// everybody's may have.
	ObjectReach egress.Bounds
	// Tests are requests with what is expected of them, run before every swap.
	Tests []Test
}

// Verbosity is how much of a problem a client is told.
type Verbosity string

// BriefProblems tell a client what it did wrong and no more. VerboseProblems add
// near misses and what is otherwise for operators; for development.
const (
	BriefProblems   Verbosity = "brief"
	VerboseProblems Verbosity = "verbose"
)

// Engine is what reads and writes messages of HTTP/1.x.
type Engine string

// StdEngine is net/http's server behind our grammar, and its client; OwnEngine are our own.
const (
	StdEngine Engine = "std"
	OwnEngine Engine = "own"
)

// OrUsual is e, or OwnEngine where it is the zero value: objects say nothing of it.
func (e Engine) OrUsual() Engine { return cmp.Or(e, OwnEngine) }

// Origin says where an element was written: a place in a file or an object.
type Origin struct {
	doc.Pos
	Object string // "HTTPRoute shop/orders", "" for files
	// Via tells through what an element came that was not written where it
	// counts: "defaults", "group shop"; "" for one that was.
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

// Socket is an address that is bound: "host:port", ":port" or "unix:/path".
// Several listeners may share one.
type Socket struct {
	Name    string
	Address string
	Origin  Origin
}

// Protocol is what is spoken on a listener.
type Protocol string

// The protocols of listeners. HTTP includes h2c by prior knowledge.
const (
	HTTP  Protocol = "HTTP"
	HTTPS Protocol = "HTTPS"
	TLS   Protocol = "TLS"
	TCP   Protocol = "TCP"
	UDP   Protocol = "UDP"
)

// Listener is a logical listener on a socket. Which one a request belongs to is
// decided by socket and host before any route is looked at, and no other
// listener is fallen back to.
type Listener struct {
	Name     string
	Socket   string // Socket.Name
	Protocol Protocol
	Hostname string // "" any, "shop.dev", "*.shop.dev"
	TLS      *ServerTLS
	// Announced says that connections begin with a header of the PROXY protocol;
	// nil: none does. Listeners on one socket agree in it.
	Announced *Announced
	// API names the one that is served here, LambdaAPIName or RegistryName, and no route; "": none.
	API    string
	Origin Origin
}

// Routed tells whether routes may attach to l.
func (l *Listener) Routed() bool { return l.API == "" && (l.Protocol == HTTP || l.Protocol == HTTPS) }

// Announced are those who may tell by the PROXY protocol whose connection they pass on.
type Announced struct {
	// By are their addresses; nil: the config's TrustedProxies. On a Unix socket
	// whoever may connect may.
	By []netip.Prefix
}

// ServerTLS is how a listener terminates or passes TLS.
type ServerTLS struct {
	Passthrough bool
	// Certificates are chosen from by the name that a client asks for. The first
	// one is for clients that ask for none, or for one that no certificate has.
	Certificates []Certificate
	// StrictNames refuses those clients instead.
	StrictNames bool
	Client      ClientAuth
	ClientCA    *Secret       // PEM; set where Client asks for a certificate
	MinVersion  uint16        // of crypto/tls; 0: DefaultMinVersion
	Ciphers     []uint16      // for TLS 1.2, those of TLS 1.3 cannot be chosen; nil: Go's
	Curves      []tls.CurveID // for the key exchange, in no order; nil: Go's
}

// ClientAuth is what is asked of a client that connects with TLS.
type ClientAuth string

// A client certificate is not asked for, checked where there is one, or demanded.
const (
	NoClientAuth       ClientAuth = ""
	OptionalClientAuth ClientAuth = "optional"
	RequireClientAuth  ClientAuth = "require"
)

// Certificate names a key pair; both sides are secrets or files.
type Certificate struct {
	Cert, Key Secret
	Origin    Origin
}

// Route is a set of matches that share one chain of filters, one set of limits and
// counters, and a choice of backends.
type Route struct {
	Name      string // unique; files: its key, objects: "HTTPRoute ns/name rule 0"
	Group     string // the group or namespace it belongs to
	Origin    Origin
	Listeners []string // names; empty means every HTTP listener
	Hosts     []string // empty means any; "shop.dev", "*.shop.dev", "{tenant}.shop.dev"
	Matches   []Match  // ORed
	Filters   []Filter // in the fixed order
	// Backends may be empty where one of Filters (respond, redirect) answers.
	Backends []Backend
	Sticky   *Expr // key that keeps a client on its share; nil: by chance
	Timeouts Timeouts
	Retry    *Retry
	Policy   SourcePolicy
	// EncodedSlash lets paths with %2F or %5C through to this route, which are
	// otherwise refused as ambiguous.
	EncodedSlash bool
	// Via tells where inherited fields came from, by their key ("timeout",
	// "retry"); fields that the route has of its own are not in it. For Expand.
	Via map[string]Origin
	// Broken is why this route cannot serve; it then answers 500 to all it
	// matches, so that no less specific and perhaps open route wins instead.
	Broken string
}

// SourcePolicy is where the sources of routes differ by contract.
type SourcePolicy struct {
	// WrongMethod is the status for a path that exists with other methods:
	// 405 for files, 404 for the Gateway API.
	WrongMethod int
	// HeadByGet lets a GET route answer HEAD (files: true).
	HeadByGet bool
	// Rank breaks the last tie between identical matches, lower first; where it
	// is empty on both, an identical match is an error. Kubernetes: age, then name.
	Rank string
}

// Match is one typed condition on a request. The zero value matches everything.
type Match struct {
	Method  string // "" any
	Path    PathMatch
	Headers []FieldMatch
	Query   []FieldMatch
	Cookies []FieldMatch
	When    *Expr // must be true; an error is no match
	Origin  Origin
}

// PathMatch matches the normalised path. At most one field is set; values from
// objects never become a Pattern. The zero value matches every path.
type PathMatch struct {
	Exact   string // "/x"
	Prefix  string // by whole segments: "/x" covers /x, /x/ and /x/y
	Pattern string // Weir's grammar: {id}, {rest...}, **, {id}.json, {id}:cancel
}

// FieldMatch compares one header, query parameter or cookie. Header names match
// without regard to case.
type FieldMatch struct {
	Name  string
	Value string
	Regex bool // Value is an RE2 expression that must match the whole value
}

// Filter is one policy with the typed config of its kind (the kind's own struct).
type Filter struct {
	Name   string
	Config any
	Origin Origin
}

// Backend is one of the things that may answer.
type Backend struct {
	When   *Expr // chosen when true; the first such one wins before any weight counts
	Weight int   // among those without When; 0 never
	// Ref is what answers. It is empty where Status or one of Filters (respond,
	// redirect) answers instead.
	Ref Ref
	// Status answers with this status instead of Ref: what an invalid reference of an object is.
	Status  int
	Reason  string // why, for explain
	Filters []Filter
	Origin  Origin
}

// Ref names a backend: a URL with a scheme, as `http://users:8080`,
// `k8s:shop/catalog:http`, `fn:orders`, or the name of a service, function or
// composition of the file (Scheme "").
type Ref struct {
	Scheme string // "http", "k8s", "fn", ...; "" for a name
	Rest   string // what follows "scheme:" without a path ("//users:8080"), or the name
	Group  string // the group or namespace that it is named from: grants are checked against it
	Origin Origin
}

func (r Ref) String() string {
	if r.Scheme == "" {
		return r.Rest
	}
	return r.Scheme + ":" + r.Rest
}

// Authority is the host of a URL, with its port where the URL has one; "" of what is no URL.
func (r Ref) Authority() string {
	authority, ok := strings.CutPrefix(r.Rest, "//")
	if !ok || r.Scheme != "http" && r.Scheme != "https" {
		return ""
	}
	return authority
}

// Function gives the name of a function that may be meant, and of its part: the
// function of an app, `fn:APP/FUNCTION` and `azure:APP/FUNCTION`, or the alias of one elsewhere,
// `lambda:NAME:ALIAS`, where no region follows.
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

// Service is a backend of living endpoints in its long form.
type Service struct {
	Name      string
	Group     string
	Origin    Origin
	Source    Ref        // where endpoints are found; empty Scheme: Endpoints
	Endpoints []Endpoint // static ones
	Protocol  string     // "http" (HTTP/1.1), "h2c", "h2", "grpc"; "" by the Ref's scheme
	TLS       *ClientTLS // nil: plain
	Resolver  *Resolver  // how names among them are looked up; nil: the config's
	Announce  string     // "v1", "v2": how endpoints are told of the client by the PROXY protocol; "" not
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

// ClientTLS is the identity with which an endpoint is called and checked.
type ClientTLS struct {
	ServerName string   // "" the endpoint's host
	CA         *Secret  // PEM; nil: the system's
	SANs       []string // any of them must be in the certificate
	// Certificate is shown to endpoints that ask for one; nil: none.
	Certificate *Certificate
}

// Function is a backend that is invoked; Config is its kind's own struct.
type Function struct {
	Name   string
	Group  string
	Kind   string // "run": a local process
	Config any
	Origin Origin
	Keys   Places // nil: it was not written as a map
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

// Timeouts bound an exchange with a backend. 0 on a route means what the service
// has, 0 on a service the value of DefaultTimeouts, NoTimeout none at all.
type Timeouts struct {
	Connect time.Duration // to get a connection, TLS included
	Head    time.Duration // from the request sent to the response's head
	Idle    time.Duration // between two pieces of a body
	Total   time.Duration // from the first try to the last byte; upgrades are exempt
}

// NoTimeout is a time-out that never runs out (`none` in a file).
const NoTimeout time.Duration = -1

// Retry says when another try is made, on another endpoint where there is one.
// Where it is surely unprocessed every method is retried, otherwise only safe
// and idempotent ones (RFC 9110 section 9.2.2).
type Retry struct {
	Attempts int // further tries; 0 none
	// Statuses are responses that count as failures: 502, 503, 504 ... With 504
	// among them a response head that does not come in time is one too.
	Statuses []int
	// Unsent keeps further tries to what surely no backend has acted on, whatever the
	// method: the writes of a composition.
	Unsent bool
	// Budget bounds the further tries of a service, whatever route they are of; nil:
	// DefaultBudget. Only a service has one.
	Budget *Budget
}

// NoRate is a rate that nobody must keep (`none` in a file).
const NoRate int64 = -1

// Limits bound what one client or all together may take. All have defaults.
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

// Shutdown is how the gateway ends. What a change of the config takes away ends
// within Drain too.
type Shutdown struct {
	// Delay is from the moment when readiness fails to that when nothing is accepted
	// any more, for load balancers to notice.
	Delay  time.Duration
	Drain  time.Duration // for requests under way, and what else is open; 0: that of DefaultShutdown
	Origin Origin
}

// Admin is the operators' API.
type Admin struct {
	Address string  // "127.0.0.1:8081", "unix:/run/weir.sock", "off"
	Token   *Secret // asked for by everything that changes state
	Origin  Origin
}

// Expr is a CEL expression with its place; Source is without the leading '='.
type Expr struct {
	Source string
	Pos    doc.Pos
}

// Secret is a value that is never printed: a template that is resolved when the
// config is compiled, so that `weir check` needs none.
type Secret struct {
	secret.Template
	Pos doc.Pos
}

// Group is a team: what it owns and what it may reach. A nil slice bounds
// nothing, an empty one allows nothing. In patterns `*` stands for any text.
type Group struct {
	Name      string
	Listeners []string // the only ones its routes may attach to
	Hosts     []string // the only ones its routes may match; those without a host get all of them
	Allow     []string // patterns of backends beyond its own: "k8s:shop/*", "http://*.shop.internal:80*", "catalog"
	Secrets   []string // patterns of references: "env:SHOP_*", "file:/run/secrets/shop/*"
	// Reach is where its backends, and its issuers, may be beside the Internet and
	// addresses inside. The zero value is nowhere else.
	Reach  egress.Bounds
	Origin Origin
}

// Test is a request with what is expected of it; expectations that are empty are not held.
type Test struct {
	Request TestRequest
	Route   string // the name of the route that must match, "none" for no route
	Backend string // the reference or name that must be chosen, "none" for none
	Status  int    // what the gateway answers; 200 for what it passes on
	Group   string
	Origin  Origin
}

// TestRequest is a request as `weir test` makes it.
type TestRequest struct {
	Method   string
	Host     string
	Path     string // with query
	Listener string // "" the first HTTP listener
	As       string // who is calling: a subject, or a JSON object of claims; "" nobody
	Client   string // the address that it comes from; "" this machine
	Headers  []FieldMatch
	Body     string
}
