package gatewayapi

import (
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weir-gateway/weir/internal/config"
)

// The protocols of a config.Service that objects can ask for.
const (
	protocolHTTP1 = "http"
	protocolH2C   = "h2c"
	protocolGRPC  = "grpc"
	protocolTCP   = "tcp"
	protocolUDP   = "udp"
)

// invalidBackend is the backend for an invalid reference.
func invalidBackend(weight int, reason string, origin config.Origin) config.Backend {
	return config.Backend{Weight: weight, Status: http.StatusInternalServerError, Reason: reason, Origin: origin}
}

// backend resolves a backendRef of the route. It always returns a backend. For an invalid reference it is one that
// answers 500 with the weight of the reference, because that share of the traffic must not move to the other backends.
// The verdict is nil if the reference is valid.
func (rs *ruleSet) backend(ref gwv1.BackendRef, origin config.Origin) (config.Backend, *verdict) {
	weight := max(0, int(deref(ref.Weight, 1)))
	service, bad := rs.t.service(rs.route, rs.gateways, ref.BackendObjectReference)
	if bad != nil {
		return invalidBackend(weight, bad.message, origin), bad
	}
	if len(rs.listeners) > 0 { // otherwise nothing will call it
		rs.t.backends[service.Name] = service
	}
	return config.Backend{
		Weight: weight,
		Ref:    config.Ref{Rest: service.Name, Group: rs.route.name.Namespace, Origin: origin},
		Origin: origin,
	}, nil
}

// service returns the config.Service for a reference of r. There is one for each Service, port and protocol, because an
// HTTPRoute and a GRPCRoute use different protocols.
func (t *translator) service(r *route, gateways []*gateway, ref gwv1.BackendObjectReference) (config.Service, *verdict) {
	to := groupKind{string(deref(ref.Group, "")), string(deref(ref.Kind, "Service"))}
	name := types.NamespacedName{Namespace: string(deref(ref.Namespace, gwv1.Namespace(r.name.Namespace))), Name: string(ref.Name)}
	if (to != groupKind{"", "Service"}) {
		return refuse(gwv1.RouteReasonInvalidKind, "backendRefs may name a Service, not a %s", to)
	}
	if !t.granted(groupKind{gwv1.GroupName, r.kind}, r.name.Namespace, to, name) {
		return refuse(gwv1.RouteReasonRefNotPermitted, "no ReferenceGrant in %s lets routes of kind %s in %s use Service %s", name.Namespace, r.kind, r.name.Namespace, name.Name)
	}
	object := t.services[name]
	switch {
	case object == nil:
		return refuse(gwv1.RouteReasonBackendNotFound, "Service %s does not exist", name)
	case object.Spec.Type == corev1.ServiceTypeExternalName:
		return refuse(gwv1.RouteReasonBackendNotFound, "Service %s is of type ExternalName and has no endpoints", name)
	case ref.Port == nil:
		return refuse(gwv1.RouteReasonBackendNotFound, "the reference to Service %s names no port", name)
	}
	port := servicePort(object, *ref.Port, r.kind)
	if port == nil {
		return refuse(gwv1.RouteReasonBackendNotFound, "Service %s has no such port %d", name, *ref.Port)
	}
	return t.serviceOfPort(r, gateways, name, port)
}

// serviceOfPort decides which protocol is used with a port of a Service.
func (t *translator) serviceOfPort(r *route, gateways []*gateway, name types.NamespacedName, port *corev1.ServicePort) (config.Service, *verdict) {
	origin := config.Origin{Object: fmt.Sprintf("Service %s port %d", name, port.Port)}
	protocol, wantsTLS, ok := protocolOf(r.kind, deref(port.AppProtocol, ""))
	if !ok {
		return refuse(gwv1.RouteReasonUnsupportedProtocol, "routes of kind %s cannot speak %q to Service %s", r.kind, deref(port.AppProtocol, ""), name)
	}
	service := config.Service{
		Name:     fmt.Sprintf("%s.%s.%d.%s", name.Namespace, name.Name, port.Port, protocol),
		Origin:   origin,
		Source:   config.Ref{Scheme: "k8s", Rest: fmt.Sprintf("%s:%d", name, port.Port), Group: name.Namespace, Origin: origin},
		Protocol: protocol,
	}
	if protocol == protocolTCP || protocol == protocolUDP {
		service.Protocol = ""
		return service, nil
	}
	policy := t.policies.of(name, port.Name, gateways)
	switch {
	case policy == nil && wantsTLS:
		return refuse(gwv1.RouteReasonUnsupportedProtocol, "Service %s asks for TLS, and no BackendTLSPolicy says whom to trust", name)
	case policy == nil:
		return service, nil
	case !policy.accepted.ok:
		return refuse(gwv1.RouteReasonBackendNotFound, "Service %s is only called as BackendTLSPolicy %s says, which is not valid: %s", name, policy.object.Name, policy.accepted.message)
	}
	service.Name += ".tls"
	service.TLS = policy.clientTLS()
	if service.Protocol != protocolHTTP1 {
		service.Protocol = "h2"
	}
	return service, nil
}

func refuse(reason gwv1.RouteConditionReason, format string, args ...any) (config.Service, *verdict) {
	v := failed(string(reason), fmt.Sprintf(format, args...))
	return config.Service{}, &v
}

// servicePort finds a port by number: a UDP port for a UDPRoute, a TCP port for all other routes.
func servicePort(service *corev1.Service, number int32, kind string) *corev1.ServicePort {
	want := corev1.ProtocolTCP
	if kind == kindUDP {
		want = corev1.ProtocolUDP
	}
	for i := range service.Spec.Ports {
		p := &service.Spec.Ports[i]
		protocol := p.Protocol
		if protocol == "" {
			protocol = corev1.ProtocolTCP
		}
		if p.Port == number && protocol == want {
			return p
		}
	}
	return nil
}

// protocolOf returns the protocol that a route of kind uses with a port with this appProtocol (GEP-1911), and whether
// it is over TLS. ok is false if the route cannot use it.
func protocolOf(kind, appProtocol string) (protocol string, overTLS, ok bool) {
	switch kind {
	case kindTLS, kindTCP:
		return protocolTCP, false, true
	case kindUDP:
		return protocolUDP, false, true
	}
	app := strings.TrimPrefix(strings.ToLower(appProtocol), "kubernetes.io/")
	if kind == kindGRPC {
		switch app {
		case "", "http", "h2c", "http2", "grpc":
			return protocolGRPC, false, true
		case "https", "grpcs":
			return protocolGRPC, true, true
		default:
			return "", false, false
		}
	}
	switch app {
	case "", "http", "ws":
		return protocolHTTP1, false, true
	case "h2c", "http2", "grpc":
		return protocolH2C, false, true
	case "https", "wss":
		return protocolHTTP1, true, true
	default:
		return "", false, false
	}
}
