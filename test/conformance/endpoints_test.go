package conformance

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/control/gatewayapi"
)

func (c *cluster) coreLists(ctx context.Context, o *gatewayapi.Objects) []func() error {
	return []func() error{
		func() (err error) {
			o.ReferenceGrants, err = list[gwv1.ReferenceGrant](ctx, c, &gwv1.ReferenceGrantList{})
			return
		},
		func() (err error) {
			o.BackendTLSPolicies, err = list[gwv1.BackendTLSPolicy](ctx, c, &gwv1.BackendTLSPolicyList{})
			return
		},
		func() (err error) {
			o.Namespaces, err = list[corev1.Namespace](ctx, c, &corev1.NamespaceList{})
			return
		},
		func() (err error) { o.Services, err = list[corev1.Service](ctx, c, &corev1.ServiceList{}); return },
		func() (err error) { o.Secrets, err = list[corev1.Secret](ctx, c, &corev1.SecretList{}); return },
		func() (err error) {
			o.ConfigMaps, err = list[corev1.ConfigMap](ctx, c, &corev1.ConfigMapList{})
			return
		},
	}
}

// resolveServices replaces k8s: references with the endpoints of their Services. The Kubernetes provider does the
// same by watching; this does it once.
func (c *cluster) resolveServices(ctx context.Context, cfg *config.Config) error {
	for i := range cfg.Services {
		s := &cfg.Services[i]
		if s.Source.Scheme != "k8s" {
			continue
		}
		addresses, err := c.endpoints(ctx, s.Source.Rest)
		if err != nil {
			return fmt.Errorf("endpoints of %s: %w", s.Source, err)
		}
		if len(addresses) == 0 {
			continue // none yet: the reference stays, and requests are answered that there is no endpoint
		}
		s.Source = config.Ref{}
		for _, address := range addresses {
			s.Endpoints = append(s.Endpoints, config.Endpoint{Address: address, Weight: 1})
		}
	}
	return nil
}

// endpoints returns the addresses of "namespace/service:port": the ready pods of the Service's selector, or its
// EndpointSlices if it has no selector.
func (c *cluster) endpoints(ctx context.Context, ref string) ([]string, error) {
	path, number, _ := strings.Cut(ref, ":")
	namespace, name, _ := strings.Cut(path, "/")
	var service corev1.Service
	if err := c.direct.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &service); err != nil {
		return nil, err
	}
	for _, port := range service.Spec.Ports {
		if strconv.Itoa(int(port.Port)) != number {
			continue
		}
		if len(service.Spec.Selector) == 0 {
			return c.sliceEndpoints(ctx, &service, port)
		}
		return c.podEndpoints(ctx, &service, port)
	}
	return nil, fmt.Errorf("the Service has no port %s", number)
}

func (c *cluster) podEndpoints(ctx context.Context, service *corev1.Service, port corev1.ServicePort) ([]string, error) {
	var pods corev1.PodList
	err := c.direct.List(ctx, &pods, client.InNamespace(service.Namespace), client.MatchingLabelsSelector{Selector: labels.SelectorFromSet(service.Spec.Selector)})
	if err != nil {
		return nil, err
	}
	target := int(port.Port)
	if port.TargetPort.Type == intstr.Int && port.TargetPort.IntVal != 0 {
		target = port.TargetPort.IntValue()
	}
	var addresses []string
	for _, pod := range pods.Items {
		addresses = append(addresses, net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(target)))
	}
	return addresses, nil
}

func (c *cluster) sliceEndpoints(ctx context.Context, service *corev1.Service, port corev1.ServicePort) ([]string, error) {
	var slices discoveryv1.EndpointSliceList
	err := c.direct.List(ctx, &slices, client.InNamespace(service.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: service.Name})
	if err != nil {
		return nil, err
	}
	var addresses []string
	for _, slice := range slices.Items {
		for _, p := range slice.Ports {
			if p.Name == nil || *p.Name != port.Name || p.Port == nil {
				continue
			}
			for _, e := range slice.Endpoints {
				for _, address := range e.Addresses {
					addresses = append(addresses, net.JoinHostPort(address, strconv.Itoa(int(*p.Port))))
				}
			}
		}
	}
	return addresses, nil
}

// resolveSecrets replaces references to Secrets with their text.
func (c *cluster) resolveSecrets(ctx context.Context, cfg *config.Config) error {
	for _, l := range cfg.Listeners {
		if l.TLS == nil {
			continue
		}
		for i := range l.TLS.Certificates {
			for _, s := range []*config.Secret{&l.TLS.Certificates[i].Cert, &l.TLS.Certificates[i].Key} {
				text, err := c.secret(ctx, s.Template)
				if err != nil {
					return fmt.Errorf("listener %s: %w", l.Name, err)
				}
				s.Template = secret.Template{Parts: []secret.Part{{Text: text}}}
			}
		}
	}
	return nil
}

// secret reads what a reference "namespace/name/key" of the translator names.
func (c *cluster) secret(ctx context.Context, template secret.Template) (string, error) {
	if len(template.Parts) != 1 || template.Parts[0].Source != gatewayapi.SecretSource {
		return "", fmt.Errorf("%s is no reference to a Secret", template)
	}
	parts := strings.SplitN(template.Parts[0].Text, "/", 3)
	if len(parts) != 3 {
		return "", fmt.Errorf("%q names no key of a Secret", template.Parts[0].Text)
	}
	var object corev1.Secret
	if err := c.direct.Get(ctx, types.NamespacedName{Namespace: parts[0], Name: parts[1]}, &object); err != nil {
		return "", err
	}
	return string(object.Data[parts[2]]), nil
}
