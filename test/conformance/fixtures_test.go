package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/conformance"

	"github.com/weir-gateway/weir/internal/control/gatewayapi"
)

// TestFixturesTranslate translates every manifest of the suite on top of the base manifests, including those of
// features that Weir does not have. It compares the statuses and what is served with testdata/fixtures.txt.
func TestFixturesTranslate(t *testing.T) {
	definitions := loadDefinitions(t)
	base := manifest(t, definitions, "base/manifests.yaml")
	files, err := fs.Glob(conformance.Manifests, "tests/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	places := newAddresses()
	translate := func(manifests ...[]*unstructured.Unstructured) []string {
		objects := collect(t, slices.Concat(manifests...))
		return describe(gatewayapi.Translate(objects, gatewayapi.Options{ControllerName: controllerName, Bind: places.bind, Addresses: places.of}))
	}
	common := translate(base)
	lines := append([]string{"== base/manifests.yaml"}, common...)
	for _, file := range files {
		lines = append(lines, "== "+file)
		for _, line := range translate(base, manifest(t, definitions, file)) {
			if !slices.Contains(common, line) {
				lines = append(lines, line)
			}
		}
	}
	golden(t, "testdata/fixtures.txt", strings.Join(lines, "\n")+"\n")
}

// manifest reads the objects of a file with their defaults. Gateways get our class, as in the suite.
func manifest(t *testing.T, d *definitions, file string) []*unstructured.Unstructured {
	t.Helper()
	raw, err := fs.ReadFile(conformance.Manifests, file)
	require.NoError(t, err)
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(raw), 4096)
	var all []*unstructured.Unstructured
	for {
		u := &unstructured.Unstructured{}
		err := decoder.Decode(u)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err, file)
		if len(u.Object) == 0 {
			continue
		}
		if u.GetKind() == "Gateway" {
			require.NoError(t, unstructured.SetNestedField(u.Object, "weir", "spec", "gatewayClassName"))
		}
		if s := d.schemas[u.GroupVersionKind()]; s != nil {
			spec := s.Properties["spec"]
			applyDefaults(u.Object["spec"], &spec)
		}
		all = append(all, u)
	}
}

// collect sorts objects by kind; kinds that the translator does not read (Deployments, ListenerSets) are left out.
func collect(t *testing.T, all []*unstructured.Unstructured) *gatewayapi.Objects {
	t.Helper()
	o := &gatewayapi.Objects{GatewayClasses: []*gwv1.GatewayClass{{
		ObjectMeta: metav1.ObjectMeta{Name: "weir"}, Spec: gwv1.GatewayClassSpec{ControllerName: controllerName},
	}}}
	for _, u := range all {
		switch u.GetKind() {
		case "Gateway":
			take(t, u, &o.Gateways)
		case "HTTPRoute":
			take(t, u, &o.HTTPRoutes)
		case "GRPCRoute":
			take(t, u, &o.GRPCRoutes)
		case "TLSRoute":
			take(t, u, &o.TLSRoutes)
		case "TCPRoute":
			take(t, u, &o.TCPRoutes)
		case "UDPRoute":
			take(t, u, &o.UDPRoutes)
		case "ReferenceGrant":
			take(t, u, &o.ReferenceGrants)
		case "BackendTLSPolicy":
			take(t, u, &o.BackendTLSPolicies)
		case "Service":
			take(t, u, &o.Services)
		case "Secret":
			take(t, u, &o.Secrets)
		case "ConfigMap":
			take(t, u, &o.ConfigMaps)
		case "Namespace":
			take(t, u, &o.Namespaces)
			last := o.Namespaces[len(o.Namespaces)-1]
			last.Labels = maps.Clone(last.Labels)
			if last.Labels == nil {
				last.Labels = map[string]string{}
			}
			last.Labels[corev1.LabelMetadataName] = last.Name
		}
	}
	return o
}

func take[T any](t *testing.T, u *unstructured.Unstructured, into *[]*T) {
	t.Helper()
	object := new(T)
	require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, object), "%s %s", u.GetKind(), u.GetName())
	*into = append(*into, object)
}

// describe returns what a test is about: statuses by object, and what is served.
func describe(r *gatewayapi.Result) []string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, name := range sorted(r.Gateways) {
		g := r.Gateways[name]
		add("Gateway %s: %s", name, brief(g.Conditions))
		for _, l := range g.Listeners {
			add("Gateway %s listener %s attached=%d: %s", name, l.Name, l.AttachedRoutes, brief(l.Conditions))
		}
	}
	for _, routes := range []struct {
		kind string
		all  map[types.NamespacedName]gwv1.RouteStatus
	}{{"HTTPRoute", r.HTTPRoutes}, {"GRPCRoute", r.GRPCRoutes}, {"TLSRoute", r.TLSRoutes}, {"TCPRoute", r.TCPRoutes}, {"UDPRoute", r.UDPRoutes}} {
		for _, name := range sorted(routes.all) {
			for _, p := range routes.all[name].Parents {
				add("%s %s at %s: %s", routes.kind, name, p.ParentRef.Name, brief(p.Conditions))
			}
		}
	}
	for _, name := range sorted(r.BackendTLSPolicies) {
		for _, a := range r.BackendTLSPolicies[name].Ancestors {
			add("BackendTLSPolicy %s at %s: %s", name, a.AncestorRef.Name, brief(a.Conditions))
		}
	}
	for _, c := range r.Config.Routes {
		var answers []string
		for _, b := range c.Backends {
			answer := b.Ref.String()
			if b.Status != 0 {
				answer = strconv.Itoa(b.Status)
			}
			answers = append(answers, fmt.Sprintf("%d*%s", b.Weight, answer))
		}
		for _, f := range c.Filters {
			answers = append(answers, f.Name)
		}
		if c.Broken != "" {
			answers = append(answers, "500: "+c.Broken)
		}
		add("route %s hosts=%v matches=%d -> %s", c.Name, c.Hosts, len(c.Matches), strings.Join(answers, ", "))
	}
	for _, s := range r.Config.Streams {
		add("stream %s hosts=%v", s.Name, s.Hosts)
	}
	return lines
}

// brief formats conditions without their messages.
func brief(conditions []metav1.Condition) string {
	var parts []string
	for _, c := range conditions {
		parts = append(parts, fmt.Sprintf("%s=%s/%s", c.Type, c.Status, c.Reason))
	}
	return strings.Join(parts, " ")
}

func sorted[V any](m map[types.NamespacedName]V) []types.NamespacedName {
	return slices.SortedFunc(maps.Keys(m), func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
}
