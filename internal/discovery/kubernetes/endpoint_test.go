package kubernetes

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/weir-gateway/weir/internal/discovery"
)

// aService has ports of the form `http:80>8080`, `http:80>web` or `:80`.
func aService(ports ...string) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "users"}, Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.7"}}
	for _, text := range ports {
		var p corev1.ServicePort
		rest, target, _ := strings.Cut(text, ">")
		p.Name, rest, _ = strings.Cut(rest, ":")
		p.Port, p.TargetPort = intstr.Parse(rest).IntVal, intstr.Parse(target)
		s.Spec.Ports = append(s.Spec.Ports, p)
	}
	return s
}

// aSlice has ports of the form `http:8080`, `:8080` or `http:` (all), and endpoints as anEndpoint reads them.
func aSlice(name string, version int, ports string, endpoints ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: name, ResourceVersion: fmt.Sprint(version), Labels: map[string]string{discoveryv1.LabelServiceName: "users"},
	}}
	for text := range strings.FieldsSeq(ports) {
		name, number, _ := strings.Cut(text, ":")
		p := discoveryv1.EndpointPort{Name: &name}
		if number != "" {
			n := intstr.Parse(number).IntVal
			p.Port = &n
		}
		s.Ports = append(s.Ports, p)
	}
	for _, text := range endpoints {
		e := anEndpoint(text)
		if len(e.Addresses) > 0 && strings.Contains(e.Addresses[0], "::") {
			s.AddressType = discoveryv1.AddressTypeIPv6
		}
		s.Endpoints = append(s.Endpoints, e)
	}
	return s
}

// anEndpoint is written as its address with words after it: @pod, zone=, node=, for= (zones as a hint), fornodes=, and the
// conditions ready, serving and terminating, with a ! where they are false.
func anEndpoint(text string) discoveryv1.Endpoint {
	words := strings.Fields(text)
	e, hints := discoveryv1.Endpoint{}, discoveryv1.EndpointHints{}
	if len(words) > 0 {
		e.Addresses = words[:1]
	}
	for _, w := range words[min(1, len(words)):] {
		yes := !strings.HasPrefix(w, "!")
		what, value, _ := strings.Cut(strings.TrimPrefix(w, "!"), "=")
		switch what {
		case "ready":
			e.Conditions.Ready = &yes
		case "serving":
			e.Conditions.Serving = &yes
		case "terminating":
			e.Conditions.Terminating = &yes
		case "zone":
			e.Zone = &value
		case "node":
			e.NodeName = &value
		case "for":
			for zone := range strings.SplitSeq(value, ",") {
				hints.ForZones = append(hints.ForZones, discoveryv1.ForZone{Name: zone})
			}
			e.Hints = &hints
		case "fornodes":
			for node := range strings.SplitSeq(value, ",") {
				hints.ForNodes = append(hints.ForNodes, discoveryv1.ForNode{Name: node})
			}
			e.Hints = &hints
		default:
			e.TargetRef = &corev1.ObjectReference{UID: types.UID(strings.TrimPrefix(w, "@"))}
		}
	}
	return e
}

// show prints what is not as it is with every endpoint.
func show(list []discovery.Endpoint) string {
	all := make([]string, 0, len(list))
	for _, e := range list {
		text := e.Address
		for _, part := range []struct{ before, value string }{{"|", e.Fallback}, {" @", e.ID}, {" zone=", e.Zone}, {" node=", e.Node}, {" for=", e.Hints}, {" fornodes=", e.NodeHints}, {" name=", e.Name}} {
			if part.value != "" {
				text += part.before + part.value
			}
		}
		if e.Condition != discovery.Ready {
			text += " " + e.Condition.String()
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func catalogOf(t *testing.T, objects ...any) *catalog {
	t.Helper()
	c := newCatalog()
	for _, o := range objects {
		if _, err := c.put(o, false); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// TestSlicesBecomeEndpoints shows what each field of a slice means.
func TestSlicesBecomeEndpoints(t *testing.T) {
	http := aService("http:80>8080", "metrics:9090>9090")
	for name, c := range map[string]struct {
		service *corev1.Service
		port    string
		slices  []*discoveryv1.EndpointSlice
		want    string
	}{
		"by the name of the port": {http, "http", of(aSlice("a", 1, "http:8080 metrics:9090", "10.0.0.1", "10.0.0.2")), "10.0.0.1:8080, 10.0.0.2:8080"},
		"by its number":           {http, "80", of(aSlice("a", 1, "http:8080 metrics:9090", "10.0.0.1")), "10.0.0.1:8080"},
		"the only port":           {aService(":80>8080"), "", of(aSlice("a", 1, ":8080", "10.0.0.1")), "10.0.0.1:8080"},
		"all that is said": {
			http, "http", of(aSlice("a", 1, "http:8080", "10.0.0.1 @u1 zone=a node=n1 for=b,a fornodes=n2,n1 ready")),
			"10.0.0.1:8080 @u1 zone=a node=n1 for=a,b fornodes=n1,n2",
		},
		"several slices, and pods that give the port another number": {
			http, "http", of(aSlice("a", 1, "http:8080", "10.0.0.2"), aSlice("b", 2, "http:9000", "10.0.0.1"), aSlice("c", 3, "metrics:9090", "10.0.0.3")),
			"10.0.0.1:9000, 10.0.0.2:8080",
		},
		"a port that is all": {http, "http", of(aSlice("a", 1, "http:", "10.0.0.1")), "10.0.0.1:8080"},
		"a port that is all, and has a name at the pods": {
			aService("http:80>web"), "http", of(aSlice("a", 1, "http:", "10.0.0.1")), "10.0.0.1:80",
		},
		"no endpoints":                      {http, "http", of(aSlice("a", 1, "http:8080")), ""},
		"an endpoint that is broken":        {http, "http", of(aSlice("a", 1, "http:8080", "", "garbage", "10.0.0.1")), "10.0.0.1:8080"},
		"nobody says whether it is ready":   {http, "http", of(aSlice("a", 1, "http:8080", "10.0.0.1 !terminating")), "10.0.0.1:8080"},
		"not ready, and nothing else":       {http, "http", of(aSlice("a", 1, "http:8080", "10.0.0.1 !ready")), "10.0.0.1:8080 not ready"},
		"ends and answers":                  {http, "http", of(aSlice("a", 1, "http:8080", "10.0.0.1 !ready serving terminating")), "10.0.0.1:8080 draining"},
		"ends, and answers no more":         {http, "http", of(aSlice("a", 1, "http:8080", "10.0.0.1 !ready !serving terminating")), "10.0.0.1:8080 not ready"},
		"ends, and nobody says if it does":  {http, "http", of(aSlice("a", 1, "http:8080", "10.0.0.1 !ready terminating")), "10.0.0.1:8080 not ready"},
		"serves, but is not ready":          {http, "http", of(aSlice("a", 1, "http:8080", "10.0.0.1 !ready serving")), "10.0.0.1:8080 not ready"},
		"publishNotReadyAddresses, ends":    {http, "http", of(aSlice("a", 1, "http:8080", "10.0.0.1 ready !serving terminating")), "10.0.0.1:8080"},
		"in two slices while it moves":      {http, "http", of(aSlice("a", 9, "http:8080", "10.0.0.1 @u1 !ready"), aSlice("b", 10, "http:8080", "10.0.0.1 @u1 ready")), "10.0.0.1:8080 @u1"},
		"in two slices, the younger counts": {http, "http", of(aSlice("a", 10, "http:8080", "10.0.0.1 @u1 !ready"), aSlice("b", 9, "http:8080", "10.0.0.1 @u1 ready")), "10.0.0.1:8080 @u1 not ready"},
		"an address that went to another pod": {
			http, "http", of(aSlice("a", 10, "http:8080", "10.0.0.1 @old !ready serving terminating"), aSlice("b", 9, "http:8080", "10.0.0.1 @new ready")), "10.0.0.1:8080 @new",
		},
		"both families": {
			http, "http", of(aSlice("a", 1, "http:8080", "10.0.0.1 @u1", "10.0.0.2 @u2"), aSlice("b", 1, "http:8080", "fd00::2 @u2", "fd00::1 @u1")),
			"10.0.0.1:8080|[fd00::1]:8080 @u1, 10.0.0.2:8080|[fd00::2]:8080 @u2",
		},
		"both families, IPv6 first": {
			families(http, corev1.IPv6Protocol, corev1.IPv4Protocol), "http", of(aSlice("a", 1, "http:8080", "10.0.0.1 @u1"), aSlice("b", 1, "http:8080", "fd00::1 @u1")),
			"[fd00::1]:8080|10.0.0.1:8080 @u1",
		},
		"both families, one of which is told later": {
			http, "http", of(aSlice("a", 1, "http:8080", "10.0.0.1 @u1 ready"), aSlice("b", 2, "http:8080", "fd00::1 @u1 !ready")), "10.0.0.1:8080|[fd00::1]:8080 @u1 not ready",
		},
		"a pod of the second family only": {
			http, "http", of(aSlice("a", 1, "http:8080", "10.0.0.1 @u1"), aSlice("b", 1, "http:8080", "fd00::9 @u9")), "10.0.0.1:8080 @u1, [fd00::9]:8080 @u9",
		},
		"both families, written by hand": {
			http, "http", of(aSlice("a", 1, "http:8080", "10.0.0.1"), aSlice("b", 1, "http:8080", "fd00::1")), "10.0.0.1:8080, [fd00::1]:8080",
		},
		"no port of the Service, but a number": {aService(), "8080", of(aSlice("a", 1, "", "10.0.0.1")), "10.0.0.1:8080"},
		"UDP":                                  {http, "http", of(udp(aSlice("a", 1, "http:8080", "10.0.0.1"))), ""},
		"names":                                {http, "http", of(names(aSlice("a", 1, "http:8080", "users.example"))), ""},
	} {
		objects := []any{c.service}
		for _, s := range c.slices {
			objects = append(objects, s)
		}
		got, err := catalogOf(t, objects...).endpoints(reference{key: key{"shop", "users"}, port: c.port}, "")
		if err != nil || show(got) != c.want {
			t.Errorf("%s: %s, %v; want %s", name, show(got), err, c.want)
		}
	}
}

func of(list ...*discoveryv1.EndpointSlice) []*discoveryv1.EndpointSlice { return list }

func families(s *corev1.Service, list ...corev1.IPFamily) *corev1.Service {
	s = s.DeepCopy()
	s.Spec.IPFamilies = list
	return s
}

func udp(s *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	protocol := corev1.ProtocolUDP
	s.Ports[0].Protocol = &protocol
	return s
}

func names(s *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	s.AddressType = discoveryv1.AddressTypeFQDN
	return s
}

// TestServicesWithoutEndpoints shows what is said where a reference cannot be followed.
func TestServicesWithoutEndpoints(t *testing.T) {
	alias := aService()
	alias.Spec.Type, alias.Spec.ExternalName = corev1.ServiceTypeExternalName, "db.example.com"
	for name, c := range map[string]struct {
		service *corev1.Service
		port    string
		want    string
	}{
		"none":                 {nil, "http", "no Service users in the namespace shop: " + discovery.ErrAbsent.Error()},
		"several ports":        {aService("http:80", "grpc:81"), "", "the Service shop/users has http (80), grpc (81); say which, as in k8s:shop/users:NAME"},
		"another name":         {aService("http:80", ":81"), "web", "the Service shop/users has no port web; it has http (80), 81"},
		"the port of the pods": {aService("http:80>8080"), "8080", "the Service shop/users has no port 8080; it has http (80)"},
		"no port":              {aService(), "", "the Service shop/users has no port of TCP; say which, as in k8s:shop/users:NAME"},
		"an alias":             {alias, "http", "the Service shop/users is another name for db.example.com (ExternalName); write http://db.example.com:PORT instead, which is looked up by DNS"},
	} {
		objects := []any{aSlice("a", 1, "http:8080", "10.0.0.1")}
		if c.service != nil {
			objects = append(objects, c.service)
		}
		got, err := catalogOf(t, objects...).endpoints(reference{key: key{"shop", "users"}, port: c.port}, "")
		if err == nil || err.Error() != c.want || got != nil {
			t.Errorf("%s: %v, %v; want %s", name, got, err, c.want)
		}
	}
	_, err := newCatalog().endpoints(reference{key: key{"shop", "users"}}, "")
	if !errors.Is(err, discovery.ErrAbsent) {
		t.Errorf("a Service that is not there: %v", err)
	}
}

// TestPortsOfHeadlessServices shows that a URL means the port of the pods where DNS would give their addresses.
func TestPortsOfHeadlessServices(t *testing.T) {
	s := aService("http:80>8080")
	c := catalogOf(t, s, aSlice("a", 1, "http:8080", "10.0.0.1"))
	byURL := reference{key: key{"shop", "users"}, port: "80", pods: true}
	if got, err := c.endpoints(byURL, "users.shop.svc"); err != nil || show(got) != "10.0.0.1:8080 name=users.shop.svc" {
		t.Errorf("with an address: %s, %v", show(got), err)
	}
	s.Spec.ClusterIP = corev1.ClusterIPNone
	c = catalogOf(t, s, aSlice("a", 1, "http:8080", "10.0.0.1"))
	if got, err := c.endpoints(byURL, ""); err != nil || show(got) != "10.0.0.1:80" {
		t.Errorf("headless: %s, %v", show(got), err)
	}
}

func TestASliceThatIsGivenToAnotherServiceLeavesTheFirst(t *testing.T) {
	c := catalogOf(t, aService("http:80"), aSlice("a", 1, "http:8080", "10.0.0.1"))
	moved := aSlice("a", 2, "http:8080", "10.0.0.1")
	moved.Labels[discoveryv1.LabelServiceName] = "orders"
	news, err := c.put(moved, false)
	if err != nil || !slices.Equal(news, []key{{"shop", "orders"}, {"shop", "users"}}) {
		t.Errorf("it is news of %v, %v", news, err)
	}
	if got, err := c.endpoints(reference{key: key{"shop", "users"}, port: "http"}, ""); err != nil || len(got) > 0 {
		t.Errorf("the first has %s, %v", show(got), err)
	}
	if _, err := c.put(moved, true); err != nil || len(c.slices)+len(c.owners) > 0 {
		t.Errorf("when it is gone: %v, %v, %v", c.slices, c.owners, err)
	}
	if _, err := c.put("garbage", false); err == nil {
		t.Error("a string is an object")
	}
}
