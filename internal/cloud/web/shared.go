package web

import (
	"net/url"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/cloud"
)

// Shared is what the functions of a platform share. The zero value is empty; it is safe for concurrent use.
type Shared struct {
	connections Connections
	pools       Pools
}

// Place is where a function is.
type Place struct {
	Together // identifies the functions that it is counted with
	// Host is the host that requests name, with its port if that is not the usual one. The certificate must be for it.
	Host   string
	Called *url.URL // where to connect to
	H2     bool
}

// Site makes a function's Site for a place. What it shares with others is released when the Function that it becomes
// part of is closed.
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
