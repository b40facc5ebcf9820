package gatewayapi

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"github.com/weir-gateway/weir/internal/config"
)

// parse reads manifests of many documents. A Secret that holds the data key
// "make-certificate" is given a certificate.
func parse(t testing.TB, raw []byte) *Objects {
	t.Helper()
	o := &Objects{}
	for document := range bytes.SplitSeq(raw, []byte("\n---\n")) {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			t.Fatal(err)
		}
		if kind.Kind == "" {
			continue
		}
		if err := addObject(o, kind.Kind, document); err != nil {
			t.Fatalf("%s: %v", kind.Kind, err)
		}
	}
	for _, s := range o.Secrets {
		if _, wanted := s.Data["make-certificate"]; wanted {
			s.Data = map[string][]byte{corev1.TLSCertKey: []byte(testCertificate), corev1.TLSPrivateKeyKey: []byte(testKey)}
		}
	}
	return o
}

func addObject(o *Objects, kind string, document []byte) error {
	switch kind {
	case "GatewayClass":
		return add(&o.GatewayClasses, document)
	case "Gateway":
		return add(&o.Gateways, document)
	case "HTTPRoute":
		return add(&o.HTTPRoutes, document)
	case "GRPCRoute":
		return add(&o.GRPCRoutes, document)
	case "TLSRoute":
		return add(&o.TLSRoutes, document)
	case "TCPRoute":
		return add(&o.TCPRoutes, document)
	case "UDPRoute":
		return add(&o.UDPRoutes, document)
	case "ReferenceGrant":
		return add(&o.ReferenceGrants, document)
	case "BackendTLSPolicy":
		return add(&o.BackendTLSPolicies, document)
	case "Namespace":
		return add(&o.Namespaces, document)
	case "Service":
		return add(&o.Services, document)
	case "Secret":
		return add(&o.Secrets, document)
	case "ConfigMap":
		return add(&o.ConfigMaps, document)
	default:
		return fmt.Errorf("no kind of object that Translate reads")
	}
}

func add[T any](list *[]*T, document []byte) error {
	object := new(T)
	*list = append(*list, object)
	return yaml.UnmarshalStrict(document, object)
}

// testOptions gives every Gateway the address 192.0.2.1, and its own ports there.
func testOptions() Options {
	return Options{
		ControllerName: "weir.dev/gateway",
		Bind: func(g types.NamespacedName, port int32) string {
			if strings.HasPrefix(g.Name, "shared") {
				return fmt.Sprintf("192.0.2.2:%d", port)
			}
			return fmt.Sprintf("%s.test:%d", g.Name, port)
		},
		Addresses: func(_ types.NamespacedName, wanted []string) []string {
			if len(wanted) == 0 {
				return []string{"192.0.2.1"}
			}
			return filter(wanted, func(a string) bool { ip, err := netip.ParseAddr(a); return err == nil && ip.IsPrivate() })
		},
	}
}

// plain gives v as maps and lists for YAML, without what is empty.
func plain(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case config.Origin:
		return nil // every element repeats its route's
	case config.Secret:
		return x.String()
	case time.Duration:
		return x.String()
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem())
	case reflect.Struct:
		m := map[string]any{}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			keep := !v.Field(i).IsZero() || v.Field(i).Kind() == reflect.Pointer && !v.Field(i).IsNil()
			if !keep || !f.IsExported() {
				continue
			}
			if inner := plain(v.Field(i)); inner != nil {
				m[f.Name] = inner
			}
		}
		return m
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = plain(v.Index(i))
		}
		return list
	default:
		return v.Interface()
	}
}

// printed gives a Result as text: the config, and each status in a line.
func printed(t testing.TB, r *Result) string {
	t.Helper()
	raw, err := yaml.Marshal(plain(reflect.ValueOf(*r.Config)))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw) + "---\n" + strings.Join(statusLines(r), "\n") + "\n"
}

func statusLines(r *Result) []string {
	var lines []string
	for _, name := range sortedKeys(r.GatewayClasses) {
		lines = append(lines, "GatewayClass "+name+": "+conditionsText(r.GatewayClasses[name].Conditions))
	}
	for _, name := range sortedNames(r.Gateways) {
		g := r.Gateways[name]
		lines = append(lines, fmt.Sprintf("Gateway %s %s: %s", name, addressesText(g), conditionsText(g.Conditions)))
		for _, l := range g.Listeners {
			lines = append(lines, fmt.Sprintf("  listener %s kinds=%s attached=%d: %s", l.Name, kindsText(l.SupportedKinds), l.AttachedRoutes, conditionsText(l.Conditions)))
		}
	}
	for _, routes := range []struct {
		kind string
		m    map[types.NamespacedName]gwv1.RouteStatus
	}{{kindHTTP, r.HTTPRoutes}, {kindGRPC, r.GRPCRoutes}, {kindTLS, r.TLSRoutes}, {kindTCP, r.TCPRoutes}, {kindUDP, r.UDPRoutes}} {
		for _, name := range sortedNames(routes.m) {
			for _, p := range routes.m[name].Parents {
				lines = append(lines, fmt.Sprintf("%s %s at %s %s: %s", routes.kind, name, p.ParentRef.Name, deref(p.ParentRef.SectionName, "*"), conditionsText(p.Conditions)))
			}
		}
	}
	for _, name := range sortedNames(r.BackendTLSPolicies) {
		for _, a := range r.BackendTLSPolicies[name].Ancestors {
			lines = append(lines, fmt.Sprintf("BackendTLSPolicy %s at %s: %s", name, a.AncestorRef.Name, conditionsText(a.Conditions)))
		}
	}
	return lines
}

func conditionsText(conditions []metav1.Condition) string {
	parts := make([]string, 0, len(conditions))
	for _, c := range conditions {
		text := fmt.Sprintf("%s=%s/%s@%d", c.Type, c.Status, c.Reason, c.ObservedGeneration)
		if c.Message != "" {
			text += fmt.Sprintf(" (%s)", c.Message)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ")
}

func kindsText(kinds []gwv1.RouteGroupKind) string {
	parts := make([]string, 0, len(kinds))
	for _, k := range kinds {
		parts = append(parts, string(k.Kind))
	}
	return strings.Join(parts, "+")
}

func addressesText(g gwv1.GatewayStatus) string {
	parts := make([]string, 0, len(g.Addresses))
	for _, a := range g.Addresses {
		parts = append(parts, a.Value)
	}
	return "[" + strings.Join(parts, " ") + "]"
}
