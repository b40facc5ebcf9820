package config

import (
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// listenerForm is one listener: an address alone, or a map.
type listenerForm struct {
	Address   string        `doc:"address,required" help:"the address to listen on: :8080, 127.0.0.1:8080 or unix:/run/weir.sock" example:":8080"`
	Hostname  string        `doc:"hostname" help:"the only host that it serves" example:"*.shop.dev"`
	Protocol  string        `doc:"protocol" help:"HTTP, HTTPS, TLS, TCP or UDP; by default HTTPS if tls is set, else HTTP" example:"HTTPS"`
	TLS       *tlsForm      `doc:"tls" help:"certificates, and requirements for client certificates; or passthrough"`
	Announced announcedForm `doc:"proxy_protocol" help:"whether every connection begins with a PROXY header from a trusted proxy" example:"true"`
}

// announcedForm is a truth value, or a map of the trusted peers.
type announcedForm struct {
	on    bool
	Trust []Prefix `doc:"trust,oneormany" help:"the trusted proxies; by default those in the top-level trust" example:"[10.0.0.0/8]"`
}

func (f *announcedForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Scalar {
		doc.Decode(n, &f.on, ps)
		return
	}
	f.on = true
	doc.Decode(n, (*plainAnnounced)(f), ps)
}

func (f announcedForm) announced() *Announced {
	if !f.on {
		return nil
	}
	return &Announced{By: prefixes(f.Trust)}
}

func (f *listenerForm) DecodeDoc(n *doc.Node, ps *doc.Problems) {
	if n.Kind == doc.Scalar {
		doc.Decode(n, &f.Address, ps)
		return
	}
	doc.Decode(n, (*plainListener)(f), ps)
}

// listen lowers `listen`: an address, a list of listeners, or a map of them.
func (l *loader) listen(n *doc.Node, ps *doc.Problems) {
	switch n.Kind {
	case doc.Scalar:
		l.listener(n.Value, n.Pos, n, ps)
	case doc.Map:
		for _, e := range n.Entries {
			l.listener(e.Key, e.KeyPos, e.Value, ps)
		}
	case doc.List:
		for _, item := range n.Items {
			if e, ok := longElement(item); ok {
				l.listener(e.name, e.pos, e.node, ps)
			} else if address := item.Get("address"); address != nil {
				l.listener(address.Value, address.Pos, item, ps)
			} else {
				l.listener(item.Value, item.Pos, item, ps)
			}
		}
	}
}

func (l *loader) listener(name string, pos doc.Pos, n *doc.Node, ps *doc.Problems) {
	var own doc.Problems
	var form listenerForm
	doc.Decode(n, &form, &own)
	secure := form.TLS.tls(&own)
	ps.Join(&own)
	if own.Failed() || n.Kind == 0 {
		l.unheard = true
		return
	}
	protocol := Protocol(strings.ToUpper(form.Protocol))
	if protocol == "" {
		protocol = HTTP
		if form.TLS != nil {
			protocol = HTTPS
		}
	}
	if form.TLS != nil && form.TLS.passthrough && form.Protocol == "" {
		protocol = TLS
	}
	l.cfg.Listeners = append(l.cfg.Listeners, Listener{
		Name: name, Socket: l.socket(form.Address, protocol, pos), Protocol: protocol, Hostname: form.Hostname,
		TLS: secure, Announced: form.Announced.announced(), Origin: Origin{Pos: pos},
	})
}

// socket returns the name of the socket that is bound to address. UDP has ports of its own.
func (l *loader) socket(address string, protocol Protocol, pos doc.Pos) string {
	name := address
	if protocol == UDP {
		name = "udp://" + address
	}
	if !slices.ContainsFunc(l.cfg.Sockets, func(s Socket) bool { return s.Name == name }) {
		l.cfg.Sockets = append(l.cfg.Sockets, Socket{Name: name, Address: address, Origin: Origin{Pos: pos}})
	}
	return name
}
