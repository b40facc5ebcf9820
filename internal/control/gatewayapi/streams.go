package gatewayapi

import (
	"fmt"

	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weir-gateway/weir/internal/config"
)

func (rs *ruleSet) tls(object *gwv1.TLSRoute) {
	for i, rule := range object.Spec.Rules {
		rs.stream(i, rule.BackendRefs)
	}
}

func (rs *ruleSet) tcp(object *gwv1.TCPRoute) {
	for i, rule := range object.Spec.Rules {
		rs.stream(i, rule.BackendRefs)
	}
}

func (rs *ruleSet) udp(object *gwv1.UDPRoute) {
	for i, rule := range object.Spec.Rules {
		rs.stream(i, rule.BackendRefs)
	}
}

// stream translates a rule into one config.Stream for each listener. The only thing to match on a connection is the
// server name. Therefore, what an older route (or an earlier rule) has on a listener is not given to another route: the
// younger route stays accepted and gets no traffic there.
func (rs *ruleSet) stream(i int, refs []gwv1.BackendRef) {
	origin := config.Origin{Object: fmt.Sprintf("%s rule %d", rs.route, i)}
	backends := rs.backends(refs, origin)
	for _, l := range rs.listeners {
		hosts, all := rs.takeHosts(l)
		if !all && len(hosts) == 0 {
			continue
		}
		rs.t.config.Streams = append(rs.t.config.Streams, config.Stream{
			Name:      fmt.Sprintf("%s rule %d listener %s", rs.route, i, l.name),
			Group:     rs.route.name.Namespace,
			Origin:    origin,
			Listeners: []string{l.name},
			Hosts:     hosts,
			Backends:  backends,
		})
	}
}

// takeHosts returns the hosts of the route on l that no other route has taken. all means that the route gets every
// connection.
func (rs *ruleSet) takeHosts(l *listener) (hosts []string, all bool) {
	for _, host := range rs.route.hostsOn(l) {
		if l.streams[host] {
			continue
		}
		l.streams[host] = true
		if host == "" || rs.route.kind != kindTLS {
			return nil, true
		}
		hosts = append(hosts, host)
	}
	return hosts, false
}
