package gatewayapi

import (
	"crypto/x509"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
)

// policy is a BackendTLSPolicy during translation.
type policy struct {
	object   *gwv1.BackendTLSPolicy
	accepted verdict
	resolved verdict
	ca       string // PEM; "" for the system's CAs
	used     map[types.NamespacedName]bool
}

// policies finds the BackendTLSPolicy of a port: one that names the port, otherwise one for the whole Service. Of
// several the oldest applies.
type policies struct {
	all    []*policy
	target map[policyTarget]*policy
	losers map[policyTarget][]*policy
}

// policyTarget is a Service and the name of its port, "" for all ports.
type policyTarget struct {
	service types.NamespacedName
	port    string
}

func newPolicies(t *translator) *policies {
	ps := &policies{target: map[policyTarget]*policy{}, losers: map[policyTarget][]*policy{}}
	for _, object := range byAge(t.in.BackendTLSPolicies) {
		p := t.policy(object)
		ps.all = append(ps.all, p)
		won := false
		var lost []policyTarget
		for _, ref := range object.Spec.TargetRefs {
			if ref.Group != "" || ref.Kind != "Service" {
				continue
			}
			target := policyTarget{types.NamespacedName{Namespace: object.Namespace, Name: string(ref.Name)}, string(deref(ref.SectionName, ""))}
			if other := ps.target[target]; other == nil {
				ps.target[target] = p
				won = true
			} else if other != p {
				lost = append(lost, target)
			}
		}
		if !won && len(lost) > 0 {
			p.accepted = failed(string(gwv1.PolicyReasonConflicted), "an older BackendTLSPolicy has this target")
		}
		for _, target := range lost {
			ps.losers[target] = append(ps.losers[target], p)
		}
	}
	return ps
}

// of returns the policy for a port of a Service that the gateways call, or nil.
func (ps *policies) of(service types.NamespacedName, port string, gateways []*gateway) *policy {
	candidates := []policyTarget{{service, port}, {service, ""}}
	var found *policy
	for _, target := range candidates {
		p := ps.target[target]
		if p == nil {
			continue
		}
		if found == nil {
			found = p
		}
		for _, told := range append([]*policy{p}, ps.losers[target]...) {
			for _, g := range gateways {
				told.used[g.name] = true
			}
		}
	}
	return found
}

// policy judges one BackendTLSPolicy on its own.
func (t *translator) policy(object *gwv1.BackendTLSPolicy) *policy {
	p := &policy{object: object, used: map[types.NamespacedName]bool{}}
	p.accepted = passed(string(gwv1.PolicyReasonAccepted), "")
	p.resolved = passed(string(gwv1.BackendTLSPolicyReasonResolvedRefs), "")
	validation := object.Spec.Validation
	if validation.WellKnownCACertificates != nil {
		if *validation.WellKnownCACertificates != gwv1.WellKnownCACertificatesSystem {
			p.accepted = failed(string(gwv1.PolicyReasonInvalid), fmt.Sprintf("wellKnownCACertificates %q is not known", *validation.WellKnownCACertificates))
		}
		return p
	}
	for _, ref := range validation.CACertificateRefs {
		pem, bad := t.authority(object.Namespace, ref)
		if bad != nil {
			p.resolved = *bad
			continue
		}
		p.ca += pem
	}
	if p.ca == "" {
		p.accepted = failed(string(gwv1.BackendTLSPolicyReasonNoValidCACertificate), "no caCertificateRef holds a certificate: "+p.resolved.message)
	}
	return p
}

// authority returns the certificates of a ConfigMap as PEM.
func (t *translator) authority(namespace string, ref gwv1.LocalObjectReference) (string, *verdict) {
	if kind := (groupKind{string(ref.Group), string(ref.Kind)}); kind != (groupKind{"", "ConfigMap"}) {
		v := failed(string(gwv1.BackendTLSPolicyReasonInvalidKind), fmt.Sprintf("caCertificateRefs may name a ConfigMap, not a %s", kind))
		return "", &v
	}
	object := t.configMaps[types.NamespacedName{Namespace: namespace, Name: string(ref.Name)}]
	if object == nil {
		v := failed(string(gwv1.BackendTLSPolicyReasonInvalidCACertificateRef), fmt.Sprintf("ConfigMap %s does not exist", ref.Name))
		return "", &v
	}
	pem := object.Data["ca.crt"]
	if !x509.NewCertPool().AppendCertsFromPEM([]byte(pem)) {
		v := failed(string(gwv1.BackendTLSPolicyReasonInvalidCACertificateRef), fmt.Sprintf("ConfigMap %s holds no certificate in ca.crt", ref.Name))
		return "", &v
	}
	return pem + "\n", nil
}

// clientTLS returns how the policy's target is called. If the policy names SANs, they replace the hostname in the check
// of the certificate.
func (p *policy) clientTLS() *config.ClientTLS {
	validation := p.object.Spec.Validation
	tls := &config.ClientTLS{ServerName: string(validation.Hostname)}
	if p.ca != "" {
		tls.CA = &config.Secret{Template: secret.Template{Parts: []secret.Part{{Text: p.ca}}}}
	}
	for _, san := range validation.SubjectAltNames {
		switch san.Type {
		case gwv1.HostnameSubjectAltNameType:
			tls.SANs = append(tls.SANs, string(san.Hostname))
		case gwv1.URISubjectAltNameType:
			tls.SANs = append(tls.SANs, string(san.URI))
		}
	}
	return tls
}

// maxAncestors is the maximum number of ancestors in a policy's status.
const maxAncestors = 16

// finishPolicies writes the status of each policy for the Gateways that use it.
func (t *translator) finishPolicies() {
	for _, p := range t.policies.all {
		var status gwv1.PolicyStatus
		for _, g := range byAge(t.in.Gateways) {
			if !p.used[nameOf(g)] || len(status.Ancestors) == maxAncestors {
				continue
			}
			group, kind, namespace := gwv1.Group(gwv1.GroupName), gwv1.Kind("Gateway"), gwv1.Namespace(g.Namespace)
			status.Ancestors = append(status.Ancestors, gwv1.PolicyAncestorStatus{
				AncestorRef:    gwv1.ParentReference{Group: &group, Kind: &kind, Namespace: &namespace, Name: gwv1.ObjectName(g.Name)},
				ControllerName: gwv1.GatewayController(t.opts.ControllerName),
				Conditions: []metav1.Condition{
					p.accepted.condition(string(gwv1.PolicyConditionAccepted), p.object.Generation),
					p.resolved.condition(string(gwv1.BackendTLSPolicyConditionResolvedRefs), p.object.Generation),
				},
			})
		}
		if len(status.Ancestors) > 0 {
			t.result.BackendTLSPolicies[nameOf(p.object)] = status
		}
	}
}
