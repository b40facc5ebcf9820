package gatewayapi

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weir-gateway/weir/internal/config"
)

// pending is a route that still has to be attached and then translated.
type pending struct {
	route  *route
	into   map[types.NamespacedName]gwv1.RouteStatus
	rules  int
	invoke func(rs *ruleSet)
}

// ruleSet collects the results of translating the rules of one attached route.
type ruleSet struct {
	t         *translator
	route     *route
	gateways  []*gateway  // Gateways that the route is attached to
	listeners []*listener // listeners that serve it
	resolved  verdict     // the first reference that does not resolve
	bad       map[int]string
	reason    gwv1.RouteConditionReason // of the first rule in bad
}

// translateRoutes attaches all routes in order of age, which decides conflicts, and translates them in the same order.
func (t *translator) translateRoutes() {
	var all []pending
	for _, o := range t.in.HTTPRoutes {
		all = append(all, pending{newRoute(kindHTTP, o, o.Spec.CommonRouteSpec, o.Spec.Hostnames), t.result.HTTPRoutes, len(o.Spec.Rules), func(rs *ruleSet) { rs.http(o) }})
	}
	for _, o := range t.in.GRPCRoutes {
		all = append(all, pending{newRoute(kindGRPC, o, o.Spec.CommonRouteSpec, o.Spec.Hostnames), t.result.GRPCRoutes, len(o.Spec.Rules), func(rs *ruleSet) { rs.grpc(o) }})
	}
	for _, o := range t.in.TLSRoutes {
		all = append(all, pending{newRoute(kindTLS, o, o.Spec.CommonRouteSpec, o.Spec.Hostnames), t.result.TLSRoutes, len(o.Spec.Rules), func(rs *ruleSet) { rs.tls(o) }})
	}
	for _, o := range t.in.TCPRoutes {
		all = append(all, pending{newRoute(kindTCP, o, o.Spec.CommonRouteSpec, nil), t.result.TCPRoutes, len(o.Spec.Rules), func(rs *ruleSet) { rs.tcp(o) }})
	}
	for _, o := range t.in.UDPRoutes {
		all = append(all, pending{newRoute(kindUDP, o, o.Spec.CommonRouteSpec, nil), t.result.UDPRoutes, len(o.Spec.Rules), func(rs *ruleSet) { rs.udp(o) }})
	}
	slices.SortStableFunc(all, func(a, b pending) int {
		return cmp.Or(
			a.route.created.Compare(b.route.created.Time),
			cmp.Compare(a.route.name.String(), b.route.name.String()),
			cmp.Compare(a.route.kind, b.route.kind),
		)
	})
	for _, p := range all {
		t.translateRoute(p)
	}
}

func (t *translator) translateRoute(p pending) {
	attachments := t.attach(p.route)
	if len(attachments) == 0 {
		return
	}
	rs := &ruleSet{t: t, route: p.route, bad: map[int]string{}, resolved: passed(string(gwv1.RouteReasonResolvedRefs), "")}
	for _, a := range attachments {
		if !slices.Contains(rs.gateways, a.gateway) {
			rs.gateways = append(rs.gateways, a.gateway)
		}
		for _, l := range a.listeners {
			if l.serves() && !slices.Contains(rs.listeners, l) {
				rs.listeners = append(rs.listeners, l)
			}
		}
	}
	slices.SortFunc(rs.listeners, func(a, b *listener) int { return cmp.Compare(a.name, b.name) })
	p.invoke(rs)
	var status gwv1.RouteStatus
	for _, a := range attachments {
		status.Parents = append(status.Parents, t.parentStatus(p.route, a.ref, rs.verdicts(a, p.rules)...))
	}
	p.into[p.route.name] = status
}

// verdicts returns the conditions of the route for one of its parents.
func (rs *ruleSet) verdicts(a attachment, rules int) []namedVerdict {
	accepted := a.accepted
	vs := []namedVerdict{{gwv1.RouteConditionResolvedRefs, rs.resolved}}
	if accepted.ok && len(rs.bad) > 0 {
		if message := rs.dropped(); len(rs.bad) == rules {
			accepted = failed(string(rs.reason), message)
		} else {
			vs = append(vs, namedVerdict{gwv1.RouteConditionPartiallyInvalid, passed(string(rs.reason), message)})
		}
	}
	return append([]namedVerdict{{gwv1.RouteConditionAccepted, accepted}}, vs...)
}

// dropped returns which rules do not work as written, in the form that the API requires for the condition
// PartiallyInvalid.
func (rs *ruleSet) dropped() string {
	parts := make([]string, 0, len(rs.bad))
	for _, i := range slices.Sorted(maps.Keys(rs.bad)) {
		parts = append(parts, fmt.Sprintf("Dropped Rule %d: %s", i, rs.bad[i]))
	}
	return strings.Join(parts, "; ")
}

// reject records that a rule cannot do what it says.
func (rs *ruleSet) reject(rule int, v verdict) {
	if len(rs.bad) == 0 {
		rs.reason = gwv1.RouteConditionReason(v.reason)
	}
	if _, already := rs.bad[rule]; !already {
		rs.bad[rule] = v.message
	}
}

// unresolved records a reference that leads nowhere. Only the first one is reported.
func (rs *ruleSet) unresolved(v *verdict) {
	if v != nil && rs.resolved.ok {
		rs.resolved = *v
	}
}

// backends resolves the references of a rule, in their order.
func (rs *ruleSet) backends(refs []gwv1.BackendRef, origin config.Origin) []config.Backend {
	backends := make([]config.Backend, 0, len(refs))
	for _, ref := range refs {
		b, bad := rs.backend(ref, origin)
		rs.unresolved(bad)
		backends = append(backends, b)
	}
	return backends
}

// orFailure adds a backend that answers 500 if no other one has a weight.
func orFailure(backends []config.Backend, origin config.Origin) []config.Backend {
	for _, b := range backends {
		if b.Weight > 0 {
			return backends
		}
	}
	return append(backends, invalidBackend(1, "the rule has no backend with a weight", origin))
}

// rule returns the config.Route of a rule, without what is specific to its kind.
func (rs *ruleSet) rule(i int) config.Route {
	r := rs.route
	c := config.Route{
		Name:   fmt.Sprintf("%s rule %d", r, i),
		Group:  r.name.Namespace,
		Origin: config.Origin{Object: fmt.Sprintf("%s rule %d", r, i)},
		Hosts:  rs.hosts(),
		Policy: config.SourcePolicy{
			WrongMethod: 404,
			HeadByGet:   false,
			Rank:        fmt.Sprintf("%s %s %05d", r.created.UTC().Format(time.RFC3339), r.name, i),
		},
	}
	for _, l := range rs.listeners {
		c.Listeners = append(c.Listeners, l.name)
	}
	return c
}

// hosts returns the route's hostnames that are useful on its listeners. They stay as the route has them: the listener,
// which is chosen before any route, narrows them, and precedence depends on the route's own hostname.
func (rs *ruleSet) hosts() []string {
	var hosts []string
	for _, h := range rs.route.hostnames {
		host := strings.ToLower(string(h))
		useful := slices.ContainsFunc(rs.listeners, func(l *listener) bool { _, ok := intersect(l.host(), host); return ok })
		if useful && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}
