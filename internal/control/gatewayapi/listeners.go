package gatewayapi

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weir-gateway/weir/internal/config"
)

// The kinds of routes.
const (
	kindHTTP = "HTTPRoute"
	kindGRPC = "GRPCRoute"
	kindTLS  = "TLSRoute"
	kindTCP  = "TCPRoute"
	kindUDP  = "UDPRoute"
)

// listener is a listener of a Gateway during translation.
type listener struct {
	gateway  *gateway
	spec     *gwv1.Listener
	name     string   // of the config.Listener
	kinds    []string // of routes that may attach
	accepted verdict
	resolved verdict
	conflict verdict // ok means that there is a conflict, as in the condition Conflicted
	tls      *config.ServerTLS
	attached int32                      // number of attached routes
	hosts    map[string]map[string]bool // hosts of attached routes, by kind of route
	streams  map[string]bool            // hosts that older stream routes have taken
}

// socket is what a bound address carries: one family of protocols, and for each host the listener that has it.
type socket struct {
	family string
	hosts  map[string]*listener
}

// translateListeners judges the listeners of g and adds those that can serve.
func (t *translator) translateListeners(g *gateway) {
	for i := range g.object.Spec.Listeners {
		spec := &g.object.Spec.Listeners[i]
		l := &listener{gateway: g, spec: spec, name: g.name.String() + "/" + string(spec.Name)}
		l.hosts, l.streams = map[string]map[string]bool{}, map[string]bool{}
		l.accepted = passed(string(gwv1.ListenerReasonAccepted), "")
		l.resolved = passed(string(gwv1.ListenerReasonResolvedRefs), "")
		l.conflict = failed(string(gwv1.ListenerReasonNoConflicts), "")
		l.judgeKinds()
		t.judgeTLS(l)
		if slices.ContainsFunc(g.listeners, func(other *listener) bool { return other.spec.Name == spec.Name }) {
			l.accepted = failed(string(gwv1.ListenerReasonUnsupportedValue), "another listener has this name")
		}
		g.listeners = append(g.listeners, l)
	}
	markConflicts(g.listeners)
	for _, l := range g.listeners {
		t.bind(l)
	}
}

// host is the listener's hostname in the form used for comparisons: lower case, "" for any.
func (l *listener) host() string { return strings.ToLower(string(deref(l.spec.Hostname, ""))) }

// serves reports whether traffic reaches l.
func (l *listener) serves() bool {
	return l.gateway.accepted.ok && l.accepted.ok && !l.conflict.ok && l.secure() && len(l.kinds) > 0
}

// secure reports whether l has what its protocol needs: a certificate if it terminates TLS.
func (l *listener) secure() bool {
	return l.tls == nil || l.tls.Passthrough || len(l.tls.Certificates) > 0
}

// routeKinds returns the kinds of routes that a protocol can carry, nil for an unknown protocol.
func routeKinds(protocol gwv1.ProtocolType) []string {
	switch protocol {
	case gwv1.HTTPProtocolType, gwv1.HTTPSProtocolType:
		return []string{kindHTTP, kindGRPC}
	case gwv1.TLSProtocolType:
		return []string{kindTLS}
	case gwv1.TCPProtocolType:
		return []string{kindTCP}
	case gwv1.UDPProtocolType:
		return []string{kindUDP}
	default:
		return nil
	}
}

// judgeKinds finds the kinds of routes that may attach: those that the spec allows and the protocol can carry.
func (l *listener) judgeKinds() {
	possible := routeKinds(l.spec.Protocol)
	if possible == nil {
		l.accepted = failed(string(gwv1.ListenerReasonUnsupportedProtocol), fmt.Sprintf("protocol %q is not supported", l.spec.Protocol))
		return
	}
	if l.spec.AllowedRoutes == nil || len(l.spec.AllowedRoutes.Kinds) == 0 {
		l.kinds = possible
		return
	}
	for _, k := range l.spec.AllowedRoutes.Kinds {
		if string(deref(k.Group, gwv1.GroupName)) != gwv1.GroupName || !slices.Contains(possible, string(k.Kind)) {
			l.resolved = failed(string(gwv1.ListenerReasonInvalidRouteKinds), fmt.Sprintf("a listener of protocol %s cannot carry routes of kind %q", l.spec.Protocol, k.Kind))
		} else if !slices.Contains(l.kinds, string(k.Kind)) {
			l.kinds = append(l.kinds, string(k.Kind))
		}
	}
}

// protocolFamily groups protocols that can share a socket. Protocols that are distinguished by server name form one
// family; every other protocol is a family of its own.
func protocolFamily(protocol gwv1.ProtocolType) string {
	switch protocol {
	case gwv1.HTTPSProtocolType, gwv1.TLSProtocolType:
		return "tls"
	default:
		return strings.ToLower(string(protocol))
	}
}

// namedHosts reports whether several listeners of a family can share a socket, each with its own host.
func namedHosts(family string) bool { return family == "http" || family == "tls" }

// transport returns the kind of socket of a family.
func transport(family string) string {
	if family == "udp" {
		return "udp"
	}
	return "tcp"
}

// markConflicts finds listeners of one Gateway that cannot be distinguished. None of them is served, because Weir does
// not guess which one was meant.
func markConflicts(listeners []*listener) {
	for i, a := range listeners {
		for _, b := range listeners[i+1:] {
			if !a.accepted.ok || !b.accepted.ok || a.spec.Port != b.spec.Port {
				continue
			}
			if reason, message := conflictOf(a, b); reason != "" {
				a.conflict = passed(string(reason), message+" with listener "+string(b.spec.Name))
				b.conflict = passed(string(reason), message+" with listener "+string(a.spec.Name))
			}
		}
	}
	for _, l := range listeners {
		if l.conflict.ok {
			l.accepted = failed(l.conflict.reason, l.conflict.message)
		}
	}
}

func conflictOf(a, b *listener) (reason gwv1.ListenerConditionReason, message string) {
	familyA, familyB := protocolFamily(a.spec.Protocol), protocolFamily(b.spec.Protocol)
	switch {
	case transport(familyA) != transport(familyB):
		return "", ""
	case familyA != familyB:
		return gwv1.ListenerReasonProtocolConflict, "the port is shared by another protocol"
	case !namedHosts(familyA) || a.host() == b.host():
		return gwv1.ListenerReasonHostnameConflict, "port and hostname are shared"
	default:
		return "", ""
	}
}

// bind gives l its place on a socket. Gateways that share an address share its sockets. A younger Gateway cannot have
// what an older one already has there.
func (t *translator) bind(l *listener) {
	if !l.serves() {
		return
	}
	address := t.opts.Bind(l.gateway.name, l.spec.Port)
	if address == "" {
		l.accepted = failed(string(gwv1.ListenerReasonPortUnavailable), fmt.Sprintf("port %d cannot be bound", l.spec.Port))
		return
	}
	family := protocolFamily(l.spec.Protocol)
	name := transport(family) + " " + address
	s := t.sockets[name]
	if s == nil {
		s = &socket{family: family, hosts: map[string]*listener{}}
		t.sockets[name] = s
		t.config.Sockets = append(t.config.Sockets, config.Socket{Name: name, Address: address, Origin: l.origin()})
	}
	other := s.hosts[l.host()]
	if s.family != family || other != nil || (!namedHosts(family) && len(s.hosts) > 0) {
		l.accepted = failed(string(gwv1.ListenerReasonPortUnavailable), "an older Gateway has this port and hostname on "+address)
		return
	}
	s.hosts[l.host()] = l
	t.config.Listeners = append(t.config.Listeners, config.Listener{
		Name: l.name, Socket: name, Protocol: config.Protocol(l.spec.Protocol), Hostname: l.host(), TLS: l.tls, Origin: l.origin(),
	})
}

func (l *listener) origin() config.Origin {
	return config.Origin{Object: fmt.Sprintf("Gateway %s listener %s", l.gateway.name, l.spec.Name)}
}

func (l *listener) status() gwv1.ListenerStatus {
	status := gwv1.ListenerStatus{Name: l.spec.Name, AttachedRoutes: l.attached, SupportedKinds: []gwv1.RouteGroupKind{}}
	for _, kind := range l.kinds {
		group := gwv1.Group(gwv1.GroupName)
		status.SupportedKinds = append(status.SupportedKinds, gwv1.RouteGroupKind{Group: &group, Kind: gwv1.Kind(kind)})
	}
	programmed := passed(string(gwv1.ListenerReasonProgrammed), "")
	if !l.serves() {
		programmed = failed(string(gwv1.ListenerReasonInvalid), "the listener cannot be served, see its other conditions")
	}
	generation := l.gateway.object.Generation
	status.Conditions = []metav1.Condition{
		l.accepted.condition(string(gwv1.ListenerConditionAccepted), generation),
		programmed.condition(string(gwv1.ListenerConditionProgrammed), generation),
		l.resolved.condition(string(gwv1.ListenerConditionResolvedRefs), generation),
		l.conflict.condition(string(gwv1.ListenerConditionConflicted), generation),
	}
	return status
}
