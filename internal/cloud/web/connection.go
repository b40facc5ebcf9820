package web

import (
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/cloud"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// The timeouts of connections to platforms, which are far away.
const (
	connect = 2 * time.Second
	idle    = 20 * time.Second
)

// Connection is what functions must have in common to share connections.
type Connection struct {
	Secure bool
	H2     bool
	// Name is the name that the certificate must be for, if that is not the host that is connected to. It is ignored
	// without Secure.
	Name string
}

type connectionKey struct {
	Connection

	bounds string
}

// Connections are the connections that functions share. The zero value has none; it is safe for concurrent use.
type Connections struct {
	all cloud.Shared[connectionKey, *transport.Transport]
}

// Use returns connections within bounds, which may be used until leave is called.
func (c *Connections) Use(like Connection, bounds *egress.Bounds) (send http.RoundTripper, leave func()) {
	if !like.Secure {
		like.Name = ""
	}
	key := connectionKey{like, bounds.String()}
	t := c.all.Use(key, func() (*transport.Transport, func()) {
		o := transport.Options{Protocol: transport.HTTP, Connect: connect, Idle: idle, Bounds: bounds}
		if like.Secure {
			o.TLS, _ = transport.Identity{ServerName: like.Name}.TLS() // fails for a CA alone, and there is none
		}
		switch {
		case like.H2 && like.Secure:
			o.Protocol = transport.H2
		case like.H2:
			o.Protocol = transport.H2C
		}
		t, _ := transport.New(o) // fails for other protocols
		return t, t.CloseIdle
	})
	return t, func() { c.all.Leave(key) }
}

// Address returns u with an explicit port in its host.
func Address(u *url.URL) *url.URL {
	made := *u
	if u.Port() == "" {
		port := "443"
		if u.Scheme == "http" {
			port = "80"
		}
		made.Host = net.JoinHostPort(u.Hostname(), port)
	}
	return &made
}
