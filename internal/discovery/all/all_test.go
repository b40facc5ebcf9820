package all_test

import (
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/discovery/all"
)

func TestEverySchemeHasOneProviderAndAnExample(t *testing.T) {
	seen := make(map[string]bool)
	for _, d := range all.Definitions() {
		for _, s := range d.Schemes {
			if seen[s.Name] {
				t.Errorf("%s stands twice", s.Name)
			}
			seen[s.Name] = true
			if !strings.HasPrefix(s.Example, s.Name+":") || s.Summary == "" || s.Check == nil {
				t.Errorf("%+v", s)
			}
		}
	}
	for _, name := range []string{"http", "https", "h2c", "grpc", "grpcs", "srv", "unix", "file", "etcd", "consul", "docker"} {
		if !seen[name] {
			t.Errorf("%s has no provider", name)
		}
	}
}
