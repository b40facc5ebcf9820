package config

import (
	"crypto/tls"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/base/pattern"
)

// listening checks the sockets and listeners.
func (c *validator) listening() {
	sockets := map[string]*Socket{}
	for i := range c.c.Sockets {
		s := &c.c.Sockets[i]
		if first, taken := sockets[s.Name]; taken {
			c.twice("socket", s.Name, s.Origin, first.Origin)
			continue
		}
		sockets[s.Name] = s
		if err := checkBind(s.Address); err != nil {
			c.add(s.Origin.at(), fmt.Sprintf("%q cannot be listened on", s.Address), err.Error(), "")
		}
	}
	for i := range c.c.Listeners {
		l := &c.c.Listeners[i]
		if first, taken := c.listeners[l.Name]; taken {
			c.twice("listener", l.Name, l.Origin, first.Origin)
			continue
		}
		c.listeners[l.Name] = l
		if sockets[l.Socket] == nil {
			c.add(l.Origin.at(), fmt.Sprintf("the listener %q is on the socket %q, which does not exist", l.Name, l.Socket), "", "declare the socket")
		}
		c.listener(l)
	}
	c.sharing()
	c.oneAddress()
	routed := slices.ContainsFunc(c.c.Listeners, func(l Listener) bool { return l.API == "" })
	if !routed && len(c.c.Routes) > 0 && !c.unheard && c.c.Routes[0].Origin.Object == "" {
		c.add(c.c.Routes[0].Origin.at(), "there are routes, but nothing is listened on", "", "add `listen: :8080` to a file that belongs to no group")
	}
}

// oneAddress checks that no two sockets use the same address, which can happen when addresses are replaced. TCP and UDP
// have ports of their own.
func (c *validator) oneAddress() {
	for i, s := range c.c.Sockets {
		for _, first := range c.c.Sockets[:i] {
			if s.Name != first.Name && sameBind(s.Address, first.Address) && c.c.datagrams(s.Name) == c.c.datagrams(first.Name) {
				c.add(s.Origin.at(), fmt.Sprintf("the sockets %q and %q have the same address", first.Name, s.Name), "", "give each its own")
			}
		}
	}
}

// datagrams reports whether a socket is a UDP socket.
func (c *Config) datagrams(socket string) bool {
	return slices.ContainsFunc(c.Listeners, func(l Listener) bool { return l.Socket == socket && l.Protocol == UDP })
}

func (c *validator) listener(l *Listener) {
	at := l.Origin.at()
	switch {
	case !slices.Contains(listenerProtocols(), l.Protocol):
		c.add(at, fmt.Sprintf("the listener %q has the unknown protocol %q", l.Name, l.Protocol), "valid values are "+strings.Join(words(listenerProtocols()), ", "), suggest(string(l.Protocol), words(listenerProtocols()), ""))
	case (l.Protocol == HTTPS || l.Protocol == TLS) && l.TLS == nil:
		c.add(at, fmt.Sprintf("the listener %q speaks %s but has no tls", l.Name, l.Protocol), "", "add `tls:` with a certificate and its key, as `cert: /etc/weir/tls.crt` and `key: /etc/weir/tls.key`")
	case l.Protocol != HTTPS && l.Protocol != TLS && l.TLS != nil:
		c.add(at, fmt.Sprintf("the listener %q has tls but speaks %s", l.Name, l.Protocol), "its traffic would seem encrypted but is not", "write the protocol HTTPS, or remove tls")
	case l.Protocol == HTTPS && l.TLS.Passthrough:
		c.add(at, fmt.Sprintf("the listener %q cannot serve HTTPS and pass TLS through", l.Name), "Weir cannot read TLS that it passes through", "write the protocol TLS and forward it with a stream, or name certificates")
	case l.TLS != nil && !l.TLS.Passthrough && len(l.TLS.Certificates) == 0:
		c.add(at, fmt.Sprintf("the listener %q has tls without a certificate", l.Name), "", "name at least one certificate with its key")
	case l.TLS != nil && l.TLS.Client != NoClientAuth && l.TLS.ClientCA == nil:
		c.add(at, fmt.Sprintf("the listener %q asks clients for a certificate, but no client_ca says whose", l.Name), "no certificate would be accepted", "add `client_ca: /etc/weir/clients.crt` to its tls")
	case l.TLS != nil && l.TLS.MinVersion == tls.VersionTLS13 && len(l.TLS.Ciphers) > 0:
		c.add(at, fmt.Sprintf("the listener %q chooses ciphers of TLS 1.2, which it does not use", l.Name), "its min_version is 1.3, whose cipher suites are fixed", "remove ciphers")
	}
	c.announced(l)
	if l.Hostname == "" {
		return
	}
	h, err := pattern.ParseHost(l.Hostname)
	switch {
	case err != nil:
		c.pattern(at, false, err)
	case h.Kind == pattern.HostLabel:
		c.add(at, fmt.Sprintf("the hostname %q of the listener %q has a parameter", l.Hostname, l.Name), "a listener is chosen before any route, and captures nothing", "write *"+h.Name)
	}
}

// announced checks which peers may announce connections.
func (c *validator) announced(l *Listener) {
	address := ""
	for _, s := range c.c.Sockets {
		if s.Name == l.Socket {
			address = s.Address
		}
	}
	switch at := l.Origin.at(); {
	case l.Announced == nil:
	case l.Protocol == UDP:
		c.add(at, fmt.Sprintf("the listener %q takes the PROXY protocol over UDP", l.Name), "it is for connections", "remove proxy_protocol")
	case l.Announced.By != nil && len(l.Announced.By) == 0, l.Announced.By == nil && len(c.c.TrustedProxies) == 0 && !strings.HasPrefix(address, "unix:"):
		c.add(at, fmt.Sprintf("the listener %q takes the PROXY protocol from nobody", l.Name), "anybody could forge the header, so every connection would be closed", "write `proxy_protocol: {trust: 10.0.0.0/8}` with the addresses of the proxies, or name them under the top level's trust")
	}
}

// sharing checks the listeners that share a socket.
func (c *validator) sharing() {
	first := map[string]*Listener{}
	hosts := map[string]*Listener{}
	for _, name := range slices.Sorted(maps.Keys(c.listeners)) {
		l := c.listeners[name]
		if l.API != "" {
			continue // alone checks that it shares with no other listener
		}
		other, shared := first[l.Socket]
		if !shared {
			first[l.Socket] = l
		}
		host := l.Socket + " " + string(l.Protocol) + " " + strings.ToLower(l.Hostname)
		same := hosts[host]
		hosts[host] = l
		switch {
		case shared && other.family() != l.family():
			c.clash(l, other, "they speak different protocols", "give them sockets of their own")
		case shared && (l.Protocol == TCP || l.Protocol == UDP):
			c.clash(l, other, "a connection without a name can belong to one listener only", "give them sockets of their own")
		case same != nil:
			c.clash(l, same, "both serve the same host", "give them different hostnames")
		case shared && !reflect.DeepEqual(other.Announced, l.Announced):
			c.clash(l, other, "a connection's header is read before anybody knows which of them it is for", "write the same proxy_protocol on both, or give them sockets of their own")
		}
	}
}

func (c *validator) clash(l, other *Listener, why, fix string) {
	c.involved[other.Origin.at().File] = true
	c.add(l.Origin.at(), fmt.Sprintf("the listeners %q and %q share the socket %q", l.Name, other.Name, l.Socket), why+"; the other is at "+other.Origin.String(), fix)
}

// family is what listeners on one socket must have in common. The server name distinguishes HTTPS from TLS.
func (l *Listener) family() Protocol {
	if l.Protocol == TLS {
		return HTTPS
	}
	return l.Protocol
}

// globals checks the limits, the trusted proxies and the admin API.
func (c *validator) globals() {
	form := formOfLimits(c.c.Limits)
	for _, bound := range []struct {
		key   string
		value int64
		least int64
	}{
		{"head", int64(form.Head), 1 << 10},
		{"fields", int64(form.Fields), 8},
		{"url", int64(form.URL), 256},
		{"body", int64(form.Body), 0},
		{"connections", int64(form.Connections), 1},
		{"requests", int64(form.Requests), 1},
		{"first_request", int64(form.FirstRequest), 1},
		{"head_time", int64(form.HeadTime), 1},
		{"keep_alive", int64(form.KeepAlive), 1},
		{"memory", int64(form.Memory), 0},
	} {
		if bound.value < bound.least {
			c.add(c.c.LimitsOrigin.at(), fmt.Sprintf("the limit %q is too low to serve anything", bound.key), "", fmt.Sprintf("make it %s or more", atLeast(bound.key, bound.least)))
		}
	}
	c.admin()
	c.lambdaAPI()
	c.registry()
}

func atLeast(key string, least int64) string {
	switch key {
	case "head", "url":
		return fmt.Sprintf("%dB", least)
	case "first_request", "head_time", "keep_alive":
		return "1s"
	default:
		return fmt.Sprint(least)
	}
}

func (c *validator) admin() {
	a := c.c.Admin
	if a.Address == "" || a.Address == "off" {
		return
	}
	if err := checkBind(a.Address); err != nil {
		c.add(a.Origin.at(), fmt.Sprintf("the admin API cannot listen on %q", a.Address), err.Error(), "write `admin: off` for none")
		return
	}
	if !isLocal(a.Address) && a.Token == nil {
		c.add(a.Origin.at(), fmt.Sprintf("the admin API listens on %s without a token", a.Address), "other machines could change what is served", "write `admin:` with `address:` and `token: ${env:WEIR_ADMIN_TOKEN}`, or listen on 127.0.0.1")
	}
	for _, s := range c.c.Sockets {
		if sameBind(s.Address, a.Address) && !c.c.datagrams(s.Name) {
			c.add(a.Origin.at(), fmt.Sprintf("the admin API and the socket %q have the same address", s.Name), "", "give the admin API a port of its own")
		}
	}
}
