package compile

import (
	"testing"

	"github.com/weir-gateway/weir/internal/config"
)

func TestStepsAskForTheBackendsOwnHost(t *testing.T) {
	named := func(source string) resolved {
		return resolved{service: &config.Service{Name: "users", Source: config.Ref{Scheme: "http", Rest: source}}}
	}
	for want, c := range map[string]struct {
		ref   config.Ref
		found resolved
	}{
		"api.dev:8443": {config.Ref{Scheme: "https", Rest: "//api.dev:8443"}, named("//api.dev:8443")},
		"users:8080":   {config.Ref{Rest: "users"}, named("//users:8080")},
		"users":        {config.Ref{Rest: "users"}, resolved{service: &config.Service{Name: "users"}}},
		"orders":       {config.Ref{Scheme: "fn", Rest: "orders"}, resolved{}},
		"localhost":    {config.Ref{Scheme: "unix", Rest: "/run/app.sock"}, named("/run/app.sock")},
		"[::1]:80":     {config.Ref{Scheme: "http", Rest: "//[::1]:80"}, resolved{}},
	} {
		if got := stepHost(c.ref, c.found); got != want {
			t.Errorf("%s: got %q, want %q", c.ref, got, want)
		}
	}
	for _, ref := range []config.Ref{{Scheme: "dir", Rest: "./public"}, {Scheme: "k8s", Rest: "shop/catalog:http"}, {Scheme: "compose", Rest: "GET /home/{user}"}} {
		if got := stepHost(ref, resolved{}); got != "localhost" {
			t.Errorf("%s: got %q", ref, got)
		}
	}
}
