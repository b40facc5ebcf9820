package config

import (
	"fmt"
	"slices"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// apiNames are the APIs that have a listener of their own, with the names that messages use for them.
var apiNames = map[string]string{LambdaAPIName: "the API of AWS Lambda", RegistryName: "the registry"}

// pendingAPI is the listener of an API. It is added after all others.
type pendingAPI struct {
	listener Listener
	address  string
}

// decodeAPI reads the form of an API, either its address alone or the map whole with all of its keys. at and address
// point to fields of whole. who is the key for the permitted callers; if it is present, it must not be empty.
func decodeAPI(n *doc.Node, at *doc.Pos, address *string, whole any, who string, nobody doc.Problem, ps *doc.Problems) {
	if n.Kind == doc.Scalar {
		*at = n.Pos
		doc.Decode(n, address, ps)
		return
	}
	doc.Decode(n, whole, ps)
	if callers := n.Get(who); callers != nil && callers.Kind == doc.Map && len(callers.Entries) == 0 {
		nobody.Pos = callers.Pos
		ps.Add(nobody)
	}
}

// api lowers what all APIs have in common to a listener of its own, which no route attaches to. It returns false if
// there can be no such listener.
func (l *loader) api(name, address string, tls *tlsForm, at doc.Pos) bool {
	var own doc.Problems
	secure := tls.tls(&own)
	l.ps.Join(&own)
	if own.Failed() || address == "" {
		return false
	}
	listener := Listener{Name: name, Protocol: HTTP, TLS: secure, API: name, Origin: Origin{Pos: at}}
	if secure != nil {
		listener.Protocol = HTTPS
	}
	l.apis = append(l.apis, pendingAPI{listener, address})
	return true
}

// api prints an API: its address, the entries that more adds, and its TLS.
func (e expander) api(c *Config, name string, origin Origin, more func(f *fields)) *doc.Node {
	f := newFields()
	l := c.listenerOfAPI(name)
	if l != nil {
		f.text("address", c.addressOf(*l), origin.comment())
	}
	more(f)
	if l != nil && l.TLS != nil {
		f.put("tls", e.serverTLS(l.TLS), "")
	}
	return &f.Node
}

func (l *loader) addAPIs() {
	for _, api := range l.apis {
		api.listener.Socket = l.socket(api.address, api.listener.Protocol, api.listener.Origin.Pos)
		l.cfg.Listeners = append(l.cfg.Listeners, api.listener)
	}
}

// listenerOfAPI returns the listener of an API, or nil if the API is not served.
func (c *Config) listenerOfAPI(name string) *Listener {
	if i := slices.IndexFunc(c.Listeners, func(l Listener) bool { return l.API == name }); i >= 0 {
		return &c.Listeners[i]
	}
	return nil
}

// alone checks that no other listener shares the address of an API's listener.
func (c *validator) alone(l *Listener, why string) {
	for _, other := range c.c.Listeners {
		if other.Name != l.Name && other.Socket == l.Socket && (other.API == "" || other.API < l.API) {
			c.add(l.Origin.at(), fmt.Sprintf("%s and the listener %q have the same address", apiNames[l.API], other.Name), why, fmt.Sprintf("give %s a port of its own", apiNames[l.API]))
		}
	}
}

// addressOf returns the address of a listener.
func (c *Config) addressOf(l Listener) string {
	if i := slices.IndexFunc(c.Sockets, func(s Socket) bool { return s.Name == l.Socket }); i >= 0 {
		return c.Sockets[i].Address
	}
	return l.Socket
}
