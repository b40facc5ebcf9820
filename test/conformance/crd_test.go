package conformance

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// definitions are the official CRDs, and the schemas whose defaults an API server fills in.
type definitions struct {
	all     []*apiextensionsv1.CustomResourceDefinition
	schemas map[schema.GroupVersionKind]*apiextensionsv1.JSONSchemaProps
}

// loadDefinitions reads the standard CRDs from the Gateway API's own module.
func loadDefinitions(t *testing.T) *definitions {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	require.NoError(t, err, "finding the module of the CRDs")
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "config", "crd", "standard", "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	d := &definitions{schemas: map[schema.GroupVersionKind]*apiextensionsv1.JSONSchemaProps{}}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		crd := &apiextensionsv1.CustomResourceDefinition{}
		require.NoError(t, yaml.Unmarshal(raw, crd), file)
		if crd.Kind != "CustomResourceDefinition" {
			continue // an admission policy is among them
		}
		d.all = append(d.all, crd)
		for _, v := range crd.Spec.Versions {
			d.schemas[schema.GroupVersionKind{Group: crd.Spec.Group, Version: v.Name, Kind: crd.Spec.Names.Kind}] = v.Schema.OpenAPIV3Schema
		}
	}
	return d
}

// applyDefaults fills in what value leaves out, as an API server does from the default fields of a structural schema:
// first a property's own default, then the defaults within it.
func applyDefaults(value any, s *apiextensionsv1.JSONSchemaProps) {
	switch v := value.(type) {
	case map[string]any:
		for name, property := range s.Properties {
			if _, set := v[name]; !set && property.Default != nil {
				var d any
				if err := json.Unmarshal(property.Default.Raw, &d); err == nil {
					v[name] = exactNumbers(d)
				}
			}
			if inner, set := v[name]; set {
				applyDefaults(inner, &property)
			}
		}
	case []any:
		if s.Items != nil && s.Items.Schema != nil {
			for _, item := range v {
				applyDefaults(item, s.Items.Schema)
			}
		}
	}
}

// exactNumbers turns whole floats into the int64 that unstructured objects hold.
func exactNumbers(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for k := range v {
			v[k] = exactNumbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = exactNumbers(v[i])
		}
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	}
	return value
}
