package kubernetes

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/discovery"
)

// aliasError is a Service that is an alias of an external name (`type: ExternalName`). Kubernetes knows no endpoints of
// it; DNS says where the name leads.
type aliasError struct {
	service key
	name    string
}

func (e *aliasError) Error() string {
	return fmt.Sprintf("the Service %s is another name for %s (ExternalName); write http://%s:PORT instead, which is looked up by DNS", e.service, e.name, e.name)
}

// endpoints returns the endpoints of a Service at one of its ports, always in the same order. The error is
// discovery.ErrAbsent if there is no such Service.
func (c *catalog) endpoints(ref reference, name string) ([]discovery.Endpoint, error) {
	s := c.services[ref.key]
	switch {
	case s == nil:
		return nil, fmt.Errorf("no Service %s in the namespace %s: %w", ref.name, ref.namespace, discovery.ErrAbsent)
	case s.alias != "":
		return nil, &aliasError{ref.key, s.alias}
	}
	port, err := s.port(ref)
	if err != nil {
		return nil, err
	}
	found := newest(c.slices[ref.key], port)
	list := make([]discovery.Endpoint, 0, len(found))
	for _, w := range paired(found, s.six) {
		list = append(list, w.endpoint(name))
	}
	return list, nil
}

// port returns the number of the wanted port in a slice; 0 if it has none.
type port func(*slice) uint16

func (s *service) port(ref reference) (port, error) {
	number, err := strconv.ParseUint(ref.port, 10, 16)
	isNumber := err == nil
	if isNumber && (len(s.ports) == 0 || ref.pods && s.headless) {
		return func(*slice) uint16 { return uint16(number) }, nil
	}
	i := 0
	switch {
	case ref.port == "" && len(s.ports) != 1:
		return nil, fmt.Errorf("the Service %s has %s; say which, as in k8s:%s:NAME", ref.key, s.names(), ref.key)
	case ref.port != "":
		i = slices.IndexFunc(s.ports, func(p servicePort) bool {
			return isNumber && uint64(p.number) == number || p.name.Value() == ref.port
		})
	}
	if i < 0 {
		return nil, fmt.Errorf("the Service %s has no port %s; it has %s", ref.key, ref.port, s.names())
	}
	return s.ports[i].of, nil
}

// of finds the port of the same name. Its number may differ between slices, if pods of several versions give the name
// to different ports.
func (p servicePort) of(s *slice) uint16 {
	for _, own := range s.ports {
		if own.name == p.name {
			return cmp.Or(own.number, p.target, p.number)
		}
	}
	return 0
}

func (s *service) names() string {
	if len(s.ports) == 0 {
		return "no port of TCP"
	}
	list := make([]string, 0, len(s.ports))
	for _, p := range s.ports {
		text := strconv.Itoa(int(p.number))
		if name := p.name.Value(); name != "" {
			text = name + " (" + text + ")"
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}

// seen is a member in a slice.
type seen struct {
	*member

	version uint64
	port    uint16
}

// newest returns each address once. An address is in two slices while it moves from one to the other: then the newer
// slice counts. If two pods had the address one after the other, the one in the better condition counts.
func newest(in map[string]*slice, port port) []seen {
	found := map[netip.Addr]seen{}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		s := in[name]
		number := port(s)
		if number == 0 {
			continue
		}
		for i := range s.members {
			m := seen{&s.members[i], s.version, number}
			if before, ok := found[m.address]; !ok || m.outranks(before) {
				found[m.address] = m
			}
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b seen) int { return a.address.Compare(b.address) })
}

func (s seen) outranks(other seen) bool {
	if s.id != other.id && s.condition != other.condition {
		return s.condition < other.condition
	}
	return s.version > other.version
}

// way is an endpoint with, on a dual-stack cluster, its address of the other family.
type way struct{ first, other seen }

// paired combines the two addresses of a pod; the Service's first family comes first.
func paired(found []seen, six bool) []way {
	list := make([]way, 0, len(found))
	others := map[string]seen{}
	for _, s := range found {
		if _, taken := others[s.id]; s.address.Is4() == six && s.id != "" && !taken {
			others[s.id] = s
			continue
		}
		list = append(list, way{first: s})
	}
	for i := range list {
		id := list[i].first.id
		list[i].other = others[id]
		delete(others, id)
	}
	for _, s := range found { // those that have only the second family
		if _, left := others[s.id]; left {
			list = append(list, way{first: s})
			delete(others, s.id)
		}
	}
	return list
}

// endpoint returns the endpoint for the gateway. What the newer slice says about a pod counts for both of its
// addresses.
func (w way) endpoint(name string) discovery.Endpoint {
	says := w.first
	e := discovery.Endpoint{Address: w.first.at(), Name: name, Weight: 1}
	if w.other.member != nil {
		e.Fallback = w.other.at()
		if w.other.version > says.version {
			says = w.other
		}
	}
	e.ID, e.Node, e.Zone, e.Condition = says.id, says.node.Value(), says.zone.Value(), says.condition
	hints := says.hints.Value()
	e.Hints, e.NodeHints = hints.zones, hints.nodes
	return e
}

func (s seen) at() string { return netip.AddrPortFrom(s.address, s.port).String() }
