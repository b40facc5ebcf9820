package all_test

import (
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/discovery/all"
)

func TestEverySchemeEitherHasAProviderOrSaysWhyNot(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range all.Schemes() {
		if seen[s.Name] {
			t.Errorf("%s stands twice", s.Name)
		}
		seen[s.Name] = true
		if !strings.HasPrefix(s.Example, s.Name+":") || s.Summary == "" {
			t.Errorf("%+v", s)
		}
		if _, ok := all.Find(s.Name); ok == (s.Missing != "") {
			t.Errorf("%s: provider %v, missing %q", s.Name, ok, s.Missing)
		}
	}
	for _, name := range []string{"http", "https", "h2c", "grpc", "grpcs", "k8s", "srv", "consul", "etcd", "docker", "registry"} {
		if !seen[name] {
			t.Errorf("%s is not known", name)
		}
	}
	if _, ok := all.Find(""); !ok {
		t.Error("a list of endpoints has no provider")
	}
}
