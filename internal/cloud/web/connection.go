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

// Times of connections to platforms, which are far.
const (
	connect = 2 * time.Second
	idle    = 20 * time.Second
)

// Connection is what functions must have in common to share connections.
type Connection struct {
	Secure bool
	H2     bool
	// Name is what a certificate is for, where that is not the host that is connected to; it
	// counts only with Secure.
	Name string
}

type connectionKey struct {
	Connection

	bounds string
}

// Connections are shared by functions. The zero value has none; it is safe for concurrent use.
type Connections struct {
	all cloud.Shared[connectionKey, *transport.Transport]
}

// Use gives connections within bounds, until leave is called.
func (c *Connections) Use(like Connection, bounds *egress.Bounds) (send http.RoundTripper, leave func()) {
	if !like.Secure {
		like.Name = ""
	}
	key := connectionKey{like, bounds.String()}
	t := c.all.Use(key, func() (*transport.Transport, func()) {
		o := transport.Options{Protocol: transport.HTTP, Connect: connect, Idle: idle, Bounds: bounds}
		if like.Secure {
			o.TLS, _ = transport.Identity{ServerName: like.Name}.TLS() // fails for a CA alone, of which there is none
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

// Address is a URL whose host has its port.
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
