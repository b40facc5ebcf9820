package gatewayapi

import (
	"crypto/tls"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
)

// SecretSource is the source of the secret references that Translate makes:
// secret.Part{Source: SecretSource, Text: "namespace/name/key"}.
const SecretSource = "k8s"

// judgeTLS checks how a listener terminates TLS or passes it through.
func (t *translator) judgeTLS(l *listener) {
	protocol, spec := l.spec.Protocol, l.spec.TLS
	if protocol != gwv1.HTTPSProtocolType && protocol != gwv1.TLSProtocolType {
		return
	}
	l.tls = &config.ServerTLS{}
	if spec == nil {
		l.resolved = failed(string(gwv1.ListenerReasonInvalidCertificateRef), "a listener of protocol "+string(protocol)+" needs tls")
		return
	}
	if deref(spec.Mode, gwv1.TLSModeTerminate) == gwv1.TLSModePassthrough {
		if protocol == gwv1.HTTPSProtocolType {
			l.accepted = failed(string(gwv1.ListenerReasonUnsupportedValue), "an HTTPS listener terminates TLS; use protocol TLS to pass it through")
		}
		l.tls.Passthrough = true
		return
	}
	if validation := frontendValidation(l.gateway.object, l.spec.Port); validation != nil {
		l.accepted = failed(string(gwv1.ListenerReasonUnsupportedValue), "validation of client certificates is not supported, so the port is not served without it")
		return
	}
	if len(spec.CertificateRefs) == 0 {
		l.resolved = failed(string(gwv1.ListenerReasonInvalidCertificateRef), "a listener that terminates TLS needs certificateRefs")
	}
	for _, ref := range spec.CertificateRefs {
		certificate, bad := t.certificate(l, ref)
		if bad != nil {
			l.resolved = *bad
			continue
		}
		l.tls.Certificates = append(l.tls.Certificates, certificate)
	}
}

// frontendValidation returns what a Gateway requires of client certificates on a port, or nil.
func frontendValidation(g *gwv1.Gateway, port gwv1.PortNumber) *gwv1.FrontendTLSValidation {
	if g.Spec.TLS == nil || g.Spec.TLS.Frontend == nil {
		return nil
	}
	for _, p := range g.Spec.TLS.Frontend.PerPort {
		if p.Port == port {
			return p.TLS.Validation
		}
	}
	return g.Spec.TLS.Frontend.Default.Validation
}

// certificate resolves one certificateRef to a key pair. It checks the key pair, but keeps a reference to it.
func (t *translator) certificate(l *listener, ref gwv1.SecretObjectReference) (config.Certificate, *verdict) {
	to := groupKind{string(deref(ref.Group, "")), string(deref(ref.Kind, "Secret"))}
	name := types.NamespacedName{
		Namespace: string(deref(ref.Namespace, gwv1.Namespace(l.gateway.name.Namespace))),
		Name:      string(ref.Name),
	}
	invalid := func(format string, args ...any) (config.Certificate, *verdict) {
		v := failed(string(gwv1.ListenerReasonInvalidCertificateRef), fmt.Sprintf(format, args...))
		return config.Certificate{}, &v
	}
	if (to != groupKind{"", "Secret"}) {
		return invalid("certificateRefs may name a Secret, not a %s", to)
	}
	if !t.granted(groupKind{gwv1.GroupName, "Gateway"}, l.gateway.name.Namespace, to, name) {
		v := failed(string(gwv1.ListenerReasonRefNotPermitted), fmt.Sprintf("no ReferenceGrant in %s lets a Gateway of %s use Secret %s", name.Namespace, l.gateway.name.Namespace, name.Name))
		return config.Certificate{}, &v
	}
	object := t.secrets[name]
	if object == nil {
		return invalid("Secret %s does not exist", name)
	}
	if _, err := tls.X509KeyPair(object.Data[corev1.TLSCertKey], object.Data[corev1.TLSPrivateKeyKey]); err != nil {
		return invalid("Secret %s holds no valid %s and %s", name, corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	}
	return config.Certificate{
		Cert:   secretRef(name, corev1.TLSCertKey),
		Key:    secretRef(name, corev1.TLSPrivateKeyKey),
		Origin: l.origin(),
	}, nil
}

func secretRef(name types.NamespacedName, key string) config.Secret {
	return config.Secret{Template: secret.Template{Parts: []secret.Part{{Source: SecretSource, Text: name.String() + "/" + key}}}}
}
