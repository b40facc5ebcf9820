package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// streamForm is a stream.
type streamForm struct {
	Listen    *doc.Node `doc:"listen" help:"the address to listen on, with tcp, udp or tls" example:"tcp://:5432"`
	Listeners []string  `doc:"listeners,oneormany" help:"listeners that the stream is attached to, instead of listen"`
	Hosts     []string  `doc:"hosts,oneormany" help:"server names, for tls" example:"shop.dev"`
	To        *doc.Node `doc:"to,required" help:"the backend" example:"k8s:shop/db:5432"`
}

// stream lowers one stream.
func (l *loader) stream(e element, group string, ps *doc.Problems) {
	var own doc.Problems
	var form streamForm
	doc.Decode(e.node, &form, &own)
	s := Stream{Name: e.name, Group: group, Origin: Origin{Pos: e.pos}, Listeners: form.Listeners, Hosts: form.Hosts}
	if form.Listen != nil {
		if name, ok := l.streamListener(form.Listen, &own); ok {
			s.Listeners = append(s.Listeners, name)
		}
	}
	if form.To != nil && form.To.Kind != 0 {
		s.Backends = l.streamBackends(form.To, group, &own)
	}
	ps.Join(&own)
	if !own.Failed() {
		l.cfg.Streams = append(l.cfg.Streams, s)
	}
}

// streamListener makes the listener of `listen: tcp://:5432`; streams with the same text share it.
func (l *loader) streamListener(n *doc.Node, ps *doc.Problems) (string, bool) {
	if !wantText(n, "listen", "listen: tcp://:5432", ps) {
		return "", false
	}
	scheme, address, ok := strings.Cut(n.Value, "://")
	protocol := Protocol(strings.ToUpper(scheme))
	if !ok || protocol.serves() || !slices.Contains(listenerProtocols(), protocol) || scheme != strings.ToLower(scheme) {
		ps.Add(doc.Problem{Pos: n.Pos, What: fmt.Sprintf("%q is not something that a stream can listen on", n.Value), Why: "a stream says its protocol: tcp, udp or tls", Fix: "for example `listen: tcp://:5432`"})
		return "", false
	}
	if !slices.ContainsFunc(l.cfg.Listeners, func(other Listener) bool { return other.Name == n.Value }) {
		made := Listener{Name: n.Value, Protocol: protocol, Socket: l.socket(address, protocol, n.Pos), Origin: Origin{Pos: n.Pos}}
		if protocol == TLS {
			made.TLS = &ServerTLS{Passthrough: true}
		}
		l.cfg.Listeners = append(l.cfg.Listeners, made)
	}
	return n.Value, true
}

// streamBackendForm is one of several backends of a stream.
type streamBackendForm struct {
	Weight int       `doc:"weight" help:"its share of the connections, relative to the others; 1 by default"`
	Use    *doc.Node `doc:"use,required" help:"the backend"`
}

func (l *loader) streamBackends(n *doc.Node, group string, ps *doc.Problems) []Backend {
	nodes := []*doc.Node{n}
	if n.Kind == doc.List {
		nodes = n.Items
	}
	var list []Backend
	for _, item := range nodes {
		form := streamBackendForm{Weight: 1, Use: item}
		if item.Kind == doc.Map {
			form.Use = nil
			doc.Decode(item, &form, ps)
		}
		if form.Use == nil {
			continue
		}
		t, ok := readTarget(form.Use, group, l.v, ps)
		switch {
		case !ok:
		case t.path != nil || t.answer.Key != "":
			ps.Add(doc.Problem{Pos: form.Use.Pos, What: fmt.Sprintf("a stream cannot lead to %q", form.Use.Value), Why: "it has no paths and no answers of its own", Fix: "write a service, or a URL without a path"})
		default:
			list = append(list, Backend{Weight: form.Weight, Ref: t.ref, Origin: Origin{Pos: item.Pos}})
		}
	}
	return list
}
