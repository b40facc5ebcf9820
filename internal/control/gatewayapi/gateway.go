package gatewayapi

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// gateway is a Gateway of ours during translation.
type gateway struct {
	object    *gwv1.Gateway
	name      types.NamespacedName
	accepted  verdict
	addresses []string
	// unusable means that an address that the spec asks for is not available.
	unusable  bool
	listeners []*listener
}

// translateGateways reads every Gateway of an accepted class, oldest first. If two want the same socket and host, the
// older one gets it.
func (t *translator) translateGateways() {
	for _, object := range byAge(t.in.Gateways) {
		if !t.classes[string(object.Spec.GatewayClassName)] {
			continue
		}
		g := &gateway{object: object, name: nameOf(object)}
		g.accepted = passed(string(gwv1.GatewayReasonAccepted), "")
		if infrastructure := object.Spec.Infrastructure; infrastructure != nil && infrastructure.ParametersRef != nil {
			g.accepted = failed(string(gwv1.GatewayReasonInvalidParameters), "Weir knows no parameters for a Gateway")
		}
		t.address(g)
		t.gateways[g.name] = g
		t.translateListeners(g)
	}
}

// address finds the addresses of g, and whether it gets all that it asks for.
func (t *translator) address(g *gateway) {
	var wanted []string
	for _, a := range g.object.Spec.Addresses {
		if kind := deref(a.Type, gwv1.IPAddressType); kind != gwv1.IPAddressType {
			g.accepted = failed(string(gwv1.GatewayReasonUnsupportedAddress), "addresses of type "+string(kind)+" are not supported, only "+string(gwv1.IPAddressType))
			return
		}
		if a.Value != "" {
			wanted = append(wanted, a.Value)
		}
	}
	g.addresses = t.opts.Addresses(g.name, wanted)
	for _, w := range wanted {
		g.unusable = g.unusable || !slices.Contains(g.addresses, w)
	}
}

// finishGateways writes the status of each Gateway, after the routes have been counted.
func (t *translator) finishGateways() {
	for name, g := range t.gateways {
		status := gwv1.GatewayStatus{Conditions: t.gatewayConditions(g)}
		if g.accepted.ok {
			for _, address := range g.addresses {
				kind := gwv1.IPAddressType
				status.Addresses = append(status.Addresses, gwv1.GatewayStatusAddress{Type: &kind, Value: address})
			}
		}
		for _, l := range g.listeners {
			status.Listeners = append(status.Listeners, l.status())
		}
		t.result.Gateways[name] = status
	}
}

func (t *translator) gatewayConditions(g *gateway) []metav1.Condition {
	accepted, programmed := g.accepted, g.programmed()
	valid := 0
	for _, l := range g.listeners {
		if l.accepted.ok && !l.conflict.ok {
			valid++
		}
	}
	switch {
	case !accepted.ok:
	case valid == 0:
		accepted = failed(string(gwv1.GatewayReasonListenersNotValid), "no listener is valid")
	case valid < len(g.listeners):
		accepted = passed(string(gwv1.GatewayReasonListenersNotValid), "some listeners are not valid")
	}
	return []metav1.Condition{
		accepted.condition(string(gwv1.GatewayConditionAccepted), g.object.Generation),
		programmed.condition(string(gwv1.GatewayConditionProgrammed), g.object.Generation),
	}
}

func (g *gateway) programmed() verdict {
	switch {
	case !g.accepted.ok:
		return failed(string(gwv1.GatewayReasonInvalid), "the Gateway is not accepted")
	case g.unusable:
		return failed(string(gwv1.GatewayReasonAddressNotUsable), "an address of the spec cannot be used")
	case len(g.addresses) == 0:
		return failed(string(gwv1.GatewayReasonAddressNotAssigned), "the Gateway has no address")
	case !slices.ContainsFunc(g.listeners, (*listener).serves):
		return failed(string(gwv1.GatewayReasonInvalid), "no listener can be served")
	default:
		return passed(string(gwv1.GatewayReasonProgrammed), "")
	}
}
