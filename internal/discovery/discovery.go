// Package discovery is the contract of providers: where endpoints are found.
// Each child folder is one provider; folder all lists them.
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
	// ID tells two instances apart that have the same address one after the
	// other; "" where the provider knows no more than the address.
	ID      string
	Address string // host:port
	// Fallback is the same endpoint by another way, host:port or "": its IPv4 address
	// where Address is IPv6, or the other way round. It is dialled where Address cannot be
	// reached, or not soon (RFC 8305), so that a family that does not work here costs no
	// request.
	Fallback string
	// Name is the host that the endpoint's certificate is asked and checked for, where its
	// address was found by a name; "" is the host of Address.
	Name   string
	Weight int // relative, 1 by default, 0 gets nothing
	Zone   string
	// Hints are zones, by comma, that the source would have the endpoint serve, and NodeHints machines; "": it says nothing.
	Hints, NodeHints string

	Node string // the machine that it is on; "": nobody says
	// Condition is whether the source says that it takes requests. What the gateway itself
	// finds out of an endpoint's health stands elsewhere.
	Condition Condition
}

// Condition is whether an endpoint takes requests, as its source says.
type Condition uint8

// The conditions of an endpoint.
const (
	// Ready takes requests. A source that says nothing of it means that.
	Ready Condition = iota
	// Draining comes to its end and answers as yet: it is asked only where no endpoint is
	// ready (serving and terminating, in the words of Kubernetes' KEP-1669).
	Draining
	// NotReady is there and takes no requests, not yet or not any more.
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
	// Run watches until ctx ends and then returns nil. It calls set from one
	// goroutine at a time, always with the full set, whose slice it gives away;
	// an empty set means that there are surely none. Run repairs its own
	// connection with back-off, and while it cannot see it calls nothing, so
	// that the last set stays. It returns an error only where trying again is
	// pointless.
	Run(ctx context.Context, set func([]Endpoint)) error
}

// ErrAbsent says that the source was seen and knows of no such endpoints. It is what a
// provider tells Looked while it does not yet believe it.
var ErrAbsent = errors.New("there is no such name")

// Env is what a provider may need.
type Env struct {
	Log *slog.Logger
	// Looked is told of each look at the source: nil where endpoints were found, changed
	// or not, else why there were none. A provider that is told of changes calls it
	// when its connection to the source stands, breaks or cannot be made, and at least once
	// an hour while it stands: the last set is kept over a restart, and counts by when the
	// source was seen last. nil: nobody asks.
	Looked func(err error)
	// Partly is told of a set that may lack endpoints, because nobody could tell of a part of
	// what they are found by; each call replaces the one before. What was known before the
	// start is better than that, and nothing of it is kept over a restart. It is called as
	// set is. nil: a set that is not full is not asked for.
	Partly func([]Endpoint)
	// Counts is told of a set how long it took from when the source told of the change until requests went by
	// it, where a provider can tell. nil: nobody asks.
	Counts func(after time.Duration)
}

// Scheme is one way to write where endpoints are found, with what it says of how
// they are spoken to.
type Scheme struct {
	config.Scheme

	Protocol string // in the words of config.Service.Protocol; "" is HTTP/1.1
	TLS      bool
}

// Definition is one kind of provider: one whose services have nothing in common, with New,
// or one of a Source, which Define makes.
type Definition struct {
	Schemes []Scheme
	// Fixed tells that the config itself names the addresses of a service, so that no word of
	// them need be kept over a restart; nil: of none.
	Fixed func(service config.Service) bool
	// New makes the provider of one reference; it starts nothing.
	New func(env Env, service config.Service) (Provider, error)

	// Kind is the key below `discovery` under which it is said how the source is reached:
	// "etcd". "" where there is no Source.
	Kind     string
	Summary  string
	Settings func() any
	Open     func(env SourceEnv, settings any) (Source, error)
	// Claims tells of a service of another provider's scheme, as it is written, whether the Source, which is
	// a Claimer then, may know its endpoints better; said tells whether the config says the
	// settings. nil: of none.
	Claims func(settings any, said bool, service config.Service) bool
}

// Source is where many services are found by one connection, one watch, one client. It is used by
// several goroutines.
type Source interface {
	// Provider makes the provider of one reference; it starts nothing. The error is told to
	// the writer of the service.
	Provider(env Env, service config.Service) (Provider, error)
	// Close ends what is shared. It is called once, after the Run of every provider has returned.
	Close()
}

// Claimer is a Source that may know the endpoints of a service which another provider would find.
type Claimer interface {
	// Claim makes the provider of such a service; it starts nothing. That runs asWritten, the provider of
	// the service's own scheme, for as long as the source does not know the service; both are of the
	// same env. It gives asWritten itself where it never will.
	Claim(env Env, service config.Service, asWritten Provider) Provider
}

// SourceEnv is what a Source may need.
type SourceEnv struct {
	Log *slog.Logger
	// Secret resolves a secret; where a config is only checked it gives placeholders. It may be
	// asked only while the source is opened; one with another secret is opened anew.
	Secret func(secret.Template) (secret.Value, error)
	// Registry is this process's own; nil: it has none.
	Registry *registry.Registry
	// Checked tells that the config is only checked: no provider will be run.
	Checked bool
}

// Define makes the Definition of a kind of source for config struct C, which stands below
// `discovery` under the key kind; defaults gives a fresh value each time, with which the source is
// opened too where nothing is said of it. open runs nothing and calls nobody: what is shared
// begins with the first Run of a provider, for `weir check` opens sources too. Its error is
// told to the config's writer.
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

// Vocabulary is the kind of the source as the config's vocabulary knows it; ok is false where there
// is none.
func (d Definition) Vocabulary() (kind config.Kind, ok bool) {
	return config.Kind{Name: d.Kind, Summary: d.Summary, New: d.Settings}, d.Kind != ""
}
