package web

import (
	"net/url"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/cloud"
)

// Shared is what the functions of a platform share. The zero value has nothing yet; it is safe for
// concurrent use.
type Shared struct {
	connections Connections
	pools       Pools
}

// Place is where a function is.
type Place struct {
	Together // with which it is counted
	// Host is that by which it is called, with its port where that is another one than usual,
	// and for which a certificate must be.
	Host   string
	Called *url.URL // where it is connected to
	H2     bool
}

// Site makes what a function is in a place. What it has of others ends with the Function that
// it becomes one of.
func (s *Shared) Site(at Place, bounds *egress.Bounds, together cloud.PoolBounds) *Site {
	made := &Site{Name: at.Region, URL: Address(at.Called), Host: at.Host}
	if at.Region == "" {
		made.Name = at.Host
	}
	like := Connection{Secure: at.Called.Scheme == "https", H2: at.H2}
	if own := (&url.URL{Host: at.Host}).Hostname(); at.Called.Hostname() != own {
		like.Name = own
	}
	var leave func()
	made.Send, leave = s.connections.Use(like, bounds)
	made.OnClose(leave)
	made.Calls, leave = s.pools.Use(at.Together, together)
	made.OnClose(leave)
	return made
}
