package kubernetes

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unique"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/weir-gateway/weir/internal/discovery"
)

// catalog is the known state of the Services of one watch: only the parts of the objects that endpoints are made of. It
// is not locked.
type catalog struct {
	services map[key]*service
	slices   map[key]map[string]*slice // by the names of the slices
	owners   map[key]key               // by namespace and name of each slice, its Service
}

func newCatalog() *catalog {
	return &catalog{services: map[key]*service{}, slices: map[key]map[string]*slice{}, owners: map[key]key{}}
}

// put stores an object, or removes it, and returns the Services that this may affect.
func (c *catalog) put(object any, gone bool) ([]key, error) {
	switch o := object.(type) {
	case *discoveryv1.EndpointSlice:
		if gone {
			return c.putSlice(o, nil), nil
		}
		return c.putSlice(o, sliceOf(o)), nil
	case *corev1.Service:
		k := key{o.Namespace, o.Name}
		if gone {
			delete(c.services, k)
		} else {
			c.services[k] = serviceOf(o)
		}
		return []key{k}, nil
	default:
		return nil, fmt.Errorf("%T is no object that was asked for", object)
	}
}

// putSlice replaces a slice, which may have belonged to another Service until now; nil removes it.
func (c *catalog) putSlice(o *discoveryv1.EndpointSlice, s *slice) []key {
	name, service := key{o.Namespace, o.Name}, key{o.Namespace, o.Labels[discoveryv1.LabelServiceName]}
	news := []key{service}
	if before, ok := c.owners[name]; ok && before != service {
		c.remove(before, o.Name)
		news = append(news, before)
	}
	if s == nil {
		delete(c.owners, name)
		c.remove(service, o.Name)
		return news
	}
	c.owners[name] = service
	if c.slices[service] == nil {
		c.slices[service] = map[string]*slice{}
	}
	c.slices[service][o.Name] = s
	return news
}

func (c *catalog) remove(service key, name string) {
	if delete(c.slices[service], name); len(c.slices[service]) == 0 {
		delete(c.slices, service)
	}
}

// service is the data of a Service.
type service struct {
	ports    []servicePort // only TCP ports
	alias    string        // the external name that it is an alias of (ExternalName); "": none
	headless bool          // it has no address of its own
	six      bool          // its first address family is IPv6
}

type servicePort struct {
	name   unique.Handle[string]
	number uint16
	target uint16 // of the pods; 0 if it is a name
}

func serviceOf(s *corev1.Service) *service {
	made := &service{
		headless: s.Spec.ClusterIP == corev1.ClusterIPNone,
		six:      len(s.Spec.IPFamilies) > 0 && s.Spec.IPFamilies[0] == corev1.IPv6Protocol,
	}
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		made.alias = s.Spec.ExternalName
	}
	for _, p := range s.Spec.Ports {
		if p.Protocol == corev1.ProtocolTCP || p.Protocol == "" {
			made.ports = append(made.ports, servicePort{unique.Make(p.Name), portNumber(p.Port), portNumber(p.TargetPort.IntVal)})
		}
	}
	return made
}

// portNumber returns 0 for an invalid port.
func portNumber(n int32) uint16 {
	if n < 1 || n > 65535 {
		return 0
	}
	return uint16(n)
}

// slice is the data of an EndpointSlice.
type slice struct {
	version uint64 // grows with each change of any object
	ports   []slicePort
	members []member
}

type slicePort struct {
	name   unique.Handle[string]
	number uint16 // 0 means all ports, which a slice may say
}

// member is an endpoint without its port. Values that many members have in common are shared.
type member struct {
	address    netip.Addr
	id         string // of the pod
	node, zone unique.Handle[string]
	hints      unique.Handle[hints]
	condition  discovery.Condition
}

// sliceOf returns nil for slices of names (addressType FQDN), which have no agreed meaning.
func sliceOf(s *discoveryv1.EndpointSlice) *slice {
	if s.AddressType != discoveryv1.AddressTypeIPv4 && s.AddressType != discoveryv1.AddressTypeIPv6 {
		return nil
	}
	made := &slice{members: make([]member, 0, len(s.Endpoints))}
	made.version, _ = strconv.ParseUint(s.ResourceVersion, 10, 64) // comparable as a number since Kubernetes 1.35, and always so with etcd
	for _, p := range s.Ports {
		if p.Protocol == nil || *p.Protocol == corev1.ProtocolTCP {
			made.ports = append(made.ports, slicePort{unique.Make(said(p.Name)), portNumber(said(p.Port))})
		}
	}
	for i := range s.Endpoints {
		if m, ok := memberOf(&s.Endpoints[i]); ok {
			made.members = append(made.members, m)
		}
	}
	return made
}

// memberOf takes the first address, the only one whose meaning Kubernetes defines.
func memberOf(e *discoveryv1.Endpoint) (member, bool) {
	if len(e.Addresses) == 0 {
		return member{}, false
	}
	address, err := netip.ParseAddr(e.Addresses[0])
	if err != nil {
		return member{}, false
	}
	m := member{
		address: address.Unmap(), node: unique.Make(said(e.NodeName)), zone: unique.Make(said(e.Zone)),
		hints: unique.Make(hintsOf(e.Hints)), condition: conditionOf(e.Conditions),
	}
	if e.TargetRef != nil {
		m.id = string(e.TargetRef.UID)
	}
	return m, true
}

// said returns the value of an optional field.
func said[T any](field *T) T {
	if field == nil {
		var none T
		return none
	}
	return *field
}

// conditionOf interprets conditions as in KEP-1669: `ready` counts by itself, and means yes if it is not set. An
// endpoint that is not ready and is terminating may still answer, which `serving` says.
func conditionOf(c discoveryv1.EndpointConditions) discovery.Condition {
	ready := c.Ready == nil || *c.Ready
	serving := c.Serving == nil && ready || said(c.Serving)
	switch {
	case ready:
		return discovery.Ready
	case serving && said(c.Terminating):
		return discovery.Draining
	default:
		return discovery.NotReady
	}
}

// hints are the zones and nodes that an endpoint is meant for, comma-separated.
type hints struct{ zones, nodes string }

func hintsOf(h *discoveryv1.EndpointHints) hints {
	var zones, nodes []string
	if h != nil {
		for _, z := range h.ForZones {
			zones = append(zones, z.Name)
		}
		for _, n := range h.ForNodes {
			nodes = append(nodes, n.Name)
		}
	}
	return hints{listed(zones), listed(nodes)}
}

func listed(names []string) string {
	slices.Sort(names)
	return strings.Join(names, ",")
}
