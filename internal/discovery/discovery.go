// Package discovery is the contract of providers: where endpoints are found.
// Each child folder is one provider; folder all lists them.
package discovery

import (
	"context"
	"errors"
	"log/slog"

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
}

// Scheme is one way to write where endpoints are found, with what it says of how
// they are spoken to.
type Scheme struct {
	config.Scheme

	Protocol string // in the words of config.Service.Protocol; "" is HTTP/1.1
	TLS      bool
}

// Definition is one kind of provider.
type Definition struct {
	Schemes []Scheme
	// Fixed tells that the config itself names the addresses of a service, so that no word of
	// them need be kept over a restart; nil: of none.
	Fixed func(service config.Service) bool
	// New makes the provider of one reference; it starts nothing.
	New func(env Env, service config.Service) (Provider, error)
}
