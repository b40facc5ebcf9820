// Package discovery defines the contract of providers, which find endpoints. Each child folder is one provider; folder
// all lists them.
package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
)

// Endpoint is one address of a service.
type Endpoint struct {
	// ID tells apart two instances that use the same address one after the other; "" if the provider knows only the
	// address.
	ID      string
	Address string // host:port
	// Fallback is another address of the same endpoint, host:port or "": its IPv4 address if Address is IPv6, or the
	// other way round. It is dialled if Address cannot be reached, or not soon (RFC 8305), so that an address family
	// that does not work here costs no request.
	Fallback string
	// Name is the host name used for SNI and for checking the endpoint's certificate if its address was found by a
	// name; "" means the host of Address.
	Name   string
	Weight int // relative, 1 by default, 0 gets nothing
	Zone   string
	// Hints are the zones, comma-separated, that the source wants the endpoint to serve, and NodeHints the machines; ""
	// means that it does not say.
	Hints, NodeHints string

	Node string // the machine that it runs on; "": unknown
	// Condition is whether the endpoint takes requests according to its source. Health that the gateway itself
	// determines is kept elsewhere.
	Condition Condition
}

// Condition is whether an endpoint takes requests, as its source says.
type Condition uint8

// The conditions of an endpoint.
const (
	// Ready takes requests. It is the default for a source that reports no condition.
	Ready Condition = iota
	// Draining is shutting down and still answers: it is asked only if no endpoint is ready (serving and terminating,
	// in the words of Kubernetes' KEP-1669).
	Draining
	// NotReady exists but takes no requests, not yet or no longer.
	NotReady
)

func (c Condition) String() string {
	switch c {
	case Ready:
		return "ready"
	case Draining:
		return "draining"
	default:
		return "not ready"
	}
}

// Provider finds the endpoints of one reference.
type Provider interface {
	// Run watches until ctx ends and then returns nil. It calls set from one goroutine at a time, always with the full
	// set, and gives up ownership of the slice; an empty set means that there certainly are no endpoints. Run repairs
	// its own connection with back-off. While it cannot reach its source it does not call set, so that the last set
	// stays. It returns an error only if trying again is pointless.
	Run(ctx context.Context, set func([]Endpoint)) error
}

// ErrAbsent says that the source was reached and knows of no such endpoints. A provider passes it to Looked while it
// does not yet believe that.
var ErrAbsent = errors.New("there is no such name")

// Env is what a provider may need.
type Env struct {
	Log *slog.Logger
	// Looked is called after each look at the source: with nil if endpoints were found, changed or not, else with the
	// reason why there were none. A provider that is notified of changes calls it when its connection to the source is
	// established, breaks or cannot be made, and at least once an hour while it stands: the last set is kept over a
	// restart, and its age counts from when the source was last reached. nil: no caller is interested.
	Looked func(err error)
	// Partly is called with a set that may lack endpoints because a part of the names that they are found by could not
	// be resolved; each call replaces the previous set. What was known before the start is preferred to it, and nothing
	// of it is kept over a restart. It is called like set. nil: partial sets are not wanted.
	Partly func([]Endpoint)
	// Counts is called with the time from when the source reported a change until requests use the set, if the provider
	// can tell. nil: no caller is interested.
	Counts func(after time.Duration)
}

// Scheme is one way to write where endpoints are found, and implies the protocol that they speak.
type Scheme struct {
	config.Scheme

	Protocol string // in the words of config.Service.Protocol; "" is HTTP/1.1
	TLS      bool
}

// Definition is one kind of provider: either one with New, whose services share nothing, or one with a Source, which
// Define makes.
type Definition struct {
	Schemes []Scheme
	// Fixed tells whether the config itself names the addresses of a service, so that they need not be kept over a
	// restart; nil: never.
	Fixed func(service config.Service) bool
	// New makes the provider of one reference; it starts nothing.
	New func(env Env, service config.Service) (Provider, error)

	// Kind is the key below `discovery` that configures how the source is reached: "etcd". "" if there is no Source.
	Kind     string
	Summary  string
	Settings func() any
	Open     func(env SourceEnv, settings any) (Source, error)
	// Claims tells whether the Source, which is then a Claimer, may know the endpoints of a service better although the
	// service is written with another provider's scheme; said tells whether the config contains the settings. nil:
	// never.
	Claims func(settings any, said bool, service config.Service) bool
}

// Source finds the endpoints of many services over one connection, one watch or one client. It is used by several
// goroutines.
type Source interface {
	// Provider makes the provider of one reference; it starts nothing. The error is shown to the author of the service.
	Provider(env Env, service config.Service) (Provider, error)
	// Close ends what is shared. It is called once, after Run of every provider has returned.
	Close()
}

// Claimer is a Source that may know the endpoints of a service that another provider would find.
type Claimer interface {
	// Claim makes the provider of such a service; it starts nothing. That provider runs asWritten, the provider of the
	// service's own scheme, for as long as the source does not know the service; both have the same env. Claim returns
	// asWritten itself if the source never will.
	Claim(env Env, service config.Service, asWritten Provider) Provider
}

// SourceEnv is what a Source may need.
type SourceEnv struct {
	Log *slog.Logger
	// Secret resolves a secret; if a config is only checked it returns placeholders. It may be called only while the
	// source is opened; a source whose secret changes is opened again.
	Secret func(secret.Template) (secret.Value, error)
	// Registry is this process's own registry; nil if it has none.
	Registry *registry.Registry
	// Checked tells that the config is only checked: no provider will be run.
	Checked bool
}

// Define makes the Definition of a kind of source with config struct C, which is below `discovery` under the key kind.
// defaults returns a fresh value each time; the source is opened with it even if the config has no such key. open
// starts nothing and makes no connection, because `weir check` opens sources too: what is shared begins with the first
// Run of a provider. Its error is shown to the author of the config.
func Define[C any](kind, summary string, schemes []Scheme, defaults func() C, open func(SourceEnv, *C) (Source, error)) Definition {
	return Definition{
		Schemes: schemes, Kind: kind, Summary: summary,
		Settings: func() any { c := defaults(); return &c },
		Open: func(env SourceEnv, settings any) (Source, error) {
			c, ok := settings.(*C)
			if !ok {
				return nil, fmt.Errorf("discovery of kind %s: its settings are %T, not %T", kind, settings, c)
			}
			return open(env, c)
		},
	}
}

// Vocabulary returns the kind of the source for the config's vocabulary; ok is false if there is none.
func (d Definition) Vocabulary() (kind config.Kind, ok bool) {
	return config.Kind{Name: d.Kind, Summary: d.Summary, New: d.Settings}, d.Kind != ""
}
