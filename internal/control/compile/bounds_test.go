package compile_test

import (
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/control/compile"
)

// TestBoundsAreThoseOfWhoNamesTheAddress holds where backends may be for who has named
// them, beside others who may more, on whose connections nobody else comes in. The
// configs are put together here: written ones with such an address are refused.
func TestBoundsAreThoseOfWhoNamesTheAddress(t *testing.T) {
	var calls atomic.Int64
	s := backend(t, "here")
	inner := s.Config.Handler
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { calls.Add(1); inner.ServeHTTP(w, r) })
	address := s.Listener.Addr().String()

	w := newWorld(t)
	text := "routes:\n"
	for _, path := range []string{"/operator", "/team", "/shared", "/object"} {
		text += "  GET " + path + ": http://" + address + "\n"
	}
	text += "  GET /service: mine\n  GET /objects: cluster\nservices:\n  mine: [" + address + "]\n  cluster: [" + address + "]\n  named: http://" + address + "\n"
	bounded := func(reach ...netip.Prefix) *config.Config {
		cfg := w.load(text)
		bounds := egress.Bounds{Reach: reach}
		cfg.Groups, cfg.ObjectReach = []config.Group{{Name: "team", Reach: bounds}}, bounds
		for i := range cfg.Routes {
			ref := &cfg.Routes[i].Backends[0].Ref
			switch cfg.Routes[i].Matches[0].Path.Pattern {
			case "/team", "/service":
				ref.Group = "team"
			case "/shared":
				*ref = config.Ref{Rest: "named", Group: "team", Origin: ref.Origin} // what the operator has named for all
			case "/object":
				ref.Origin.Object = "HTTPRoute shop/a"
			}
		}
		for i := range cfg.Services {
			switch s := &cfg.Services[i]; s.Name {
			case "mine":
				s.Group = "team"
			case "cluster":
				s.Origin.Object = "Service shop/cluster port 80"
			}
		}
		return cfg
	}
	for _, c := range []struct {
		name  string
		reach []netip.Prefix
		bound int
	}{
		{"at first", nil, http.StatusBadGateway},
		{"with the right", []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, http.StatusOK},
		{"without it again", nil, http.StatusBadGateway},
	} {
		w.serve(bounded(c.reach...))
		for path, want := range map[string]int{
			"/operator": http.StatusOK, "/shared": http.StatusOK,
			"/team": c.bound, "/service": c.bound, "/object": c.bound, "/objects": c.bound,
		} {
			before := calls.Load()
			got := w.get(path)
			if got.Code != want || want != http.StatusOK && !strings.Contains(got.Body.String(), fault.BackendForbidden.Code) {
				t.Errorf("%s: %s: %d %s", c.name, path, got.Code, got.Body)
			}
			if called := calls.Load() > before; called != (want == http.StatusOK) {
				t.Errorf("%s: %s: called %v", c.name, path, called)
			}
		}
	}
}

// TestWhereTheGatewayListensIsNoBackendOfAGroup holds for the address that a network knows this machine
// by. Nothing is connected to: it would not answer.
func TestWhereTheGatewayListensIsNoBackendOfAGroup(t *testing.T) {
	const itself = "198.51.100.7:8080"
	w := newWorld(t)
	w.compiler = compile.New(w.parts, compile.Options{
		Log: slog.New(slog.DiscardHandler), Secret: secret.Resolve, Own: func() []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort(itself)} },
	})
	w.serve(w.load("groups:\n  team:\n    allow: http://*\n    routes:\n      GET /team: http://" + itself + "\n"))
	if got := w.get("/team"); got.Code != http.StatusBadGateway || !strings.Contains(got.Body.String(), fault.BackendForbidden.Code) {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}
