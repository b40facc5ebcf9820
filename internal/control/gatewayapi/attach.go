package gatewayapi

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// route holds what routes of every kind have in common during translation.
type route struct {
	kind       string
	name       types.NamespacedName
	generation int64
	created    metav1.Time
	parents    []gwv1.ParentReference
	hostnames  []gwv1.Hostname
}

func newRoute(kind string, object metav1.Object, spec gwv1.CommonRouteSpec, hostnames []gwv1.Hostname) *route {
	return &route{
		kind: kind, name: nameOf(object), generation: object.GetGeneration(), created: object.GetCreationTimestamp(),
		parents: spec.ParentRefs, hostnames: hostnames,
	}
}

func (r *route) String() string { return r.kind + " " + r.name.String() }

// attachment is the result for one parentRef that names a Gateway of ours.
type attachment struct {
	ref       gwv1.ParentReference
	gateway   *gateway
	listeners []*listener
	accepted  verdict
}

// attach binds r to the listeners of its parents, and counts it on each of them.
func (t *translator) attach(r *route) []attachment {
	var attachments []attachment
	counted := map[*listener]bool{}
	for _, ref := range r.parents {
		g := t.parent(r, ref)
		if g == nil {
			continue
		}
		a := t.attachTo(r, g, ref)
		for _, l := range a.listeners {
			if !counted[l] {
				counted[l] = true
				l.attached++
			}
		}
		attachments = append(attachments, a)
	}
	slices.SortStableFunc(attachments, func(a, b attachment) int { return compareParents(a.ref, b.ref) })
	return attachments
}

// parent returns the Gateway of ours that ref names, or nil.
func (t *translator) parent(r *route, ref gwv1.ParentReference) *gateway {
	if deref(ref.Group, gwv1.GroupName) != gwv1.GroupName || deref(ref.Kind, "Gateway") != "Gateway" {
		return nil
	}
	return t.gateways[types.NamespacedName{
		Namespace: string(deref(ref.Namespace, gwv1.Namespace(r.name.Namespace))),
		Name:      string(ref.Name),
	}]
}

// attachTo narrows down the listeners of g in the order in which the API reports the reasons: those that ref names,
// those that are open to the route's kind and namespace, and those with a host in common.
func (t *translator) attachTo(r *route, g *gateway, ref gwv1.ParentReference) attachment {
	a := attachment{ref: ref, gateway: g}
	named := filter(g.listeners, func(l *listener) bool {
		return (ref.SectionName == nil || *ref.SectionName == l.spec.Name) && (ref.Port == nil || *ref.Port == l.spec.Port)
	})
	if len(named) == 0 {
		a.accepted = failed(string(gwv1.RouteReasonNoMatchingParent), "no listener has the parentRef's sectionName and port")
		return a
	}
	open := filter(named, func(l *listener) bool { return slices.Contains(l.kinds, r.kind) && t.allows(l, r.name.Namespace) })
	if len(open) == 0 {
		a.accepted = failed(string(gwv1.RouteReasonNotAllowedByListeners), "no listener allows routes of this kind and namespace")
		return a
	}
	meeting := filter(open, func(l *listener) bool { return len(r.hostsOn(l)) > 0 })
	if len(meeting) == 0 {
		a.accepted = failed(string(gwv1.RouteReasonNoMatchingListenerHostname), "no listener has a hostname in common with the route")
		return a
	}
	a.listeners = filter(meeting, func(l *listener) bool { return l.accepted.ok })
	if len(a.listeners) == 0 {
		a.accepted = failed(string(gwv1.RouteReasonNoMatchingParent), "the listener is not accepted, see the Gateway's status")
		return a
	}
	a.accepted = passed(string(gwv1.RouteReasonAccepted), "")
	claimHosts(r, &a)
	return a
}

// claimHosts claims the route's hosts on its listeners. A host on a listener belongs either to HTTPRoutes or to
// GRPCRoutes: to the kind of the oldest route. Routes are passed in order of age, oldest first.
func claimHosts(r *route, a *attachment) {
	other := map[string]string{kindHTTP: kindGRPC, kindGRPC: kindHTTP}[r.kind]
	if other == "" {
		return
	}
	for _, l := range a.listeners {
		if l.claimed(other, r.hostsOn(l)) {
			a.accepted = failed("HostnameConflict", fmt.Sprintf("a host of listener %s belongs to routes of kind %s already", l.spec.Name, other))
			a.listeners = nil
			return
		}
	}
	for _, l := range a.listeners {
		if l.hosts[r.kind] == nil {
			l.hosts[r.kind] = map[string]bool{}
		}
		for _, host := range r.hostsOn(l) {
			l.hosts[r.kind][host] = true
		}
	}
}

// claimed reports whether routes of kind have any of hosts on l.
func (l *listener) claimed(kind string, hosts []string) bool {
	for claimed := range l.hosts[kind] {
		for _, host := range hosts {
			if _, meet := intersect(claimed, host); meet {
				return true
			}
		}
	}
	return false
}

// allows reports whether routes of a namespace may attach to l.
func (t *translator) allows(l *listener, namespace string) bool {
	var allowed gwv1.RouteNamespaces
	if l.spec.AllowedRoutes != nil {
		allowed = deref(l.spec.AllowedRoutes.Namespaces, allowed)
	}
	switch deref(allowed.From, gwv1.NamespacesFromSame) {
	case gwv1.NamespacesFromAll:
		return true
	case gwv1.NamespacesFromSame:
		return namespace == l.gateway.name.Namespace
	case gwv1.NamespacesFromSelector:
		selector, err := metav1.LabelSelectorAsSelector(allowed.Selector)
		object := t.namespaces[namespace]
		return err == nil && object != nil && selector.Matches(labels.Set(object.Labels))
	default:
		return false
	}
}

// hostsOn returns the hosts that r and l have in common, "" for any.
func (r *route) hostsOn(l *listener) []string {
	if len(r.hostnames) == 0 || r.kind == kindTCP || r.kind == kindUDP {
		return []string{l.host()}
	}
	var hosts []string
	for _, h := range r.hostnames {
		if host, ok := intersect(l.host(), string(h)); ok {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// filter returns the elements for which keep returns true, in a new slice.
func filter[T any](all []T, keep func(T) bool) []T {
	var kept []T
	for _, v := range all {
		if keep(v) {
			kept = append(kept, v)
		}
	}
	return kept
}
