package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// bound is a config whose addresses were replaced after it was loaded, as --listen
// and --admin do.
func bound(t *testing.T, admin string, addresses ...string) []doc.Problem {
	t.Helper()
	c := load(t, "listen: {a: ':8080', b: ':8090', u: {address: ':8070', protocol: UDP}}", "routes:", "  ANY /**: http://a:1",
		"streams: {}")
	c.Admin.Address, c.Admin.Origin = admin, config.Origin{Pos: doc.Pos{File: "--admin"}}
	for i, address := range addresses {
		c.Sockets[i].Address, c.Sockets[i].Origin = address, config.Origin{Pos: doc.Pos{File: "--listen"}}
	}
	return config.Validate(c, vocabulary())
}

func TestReplacedAddressesAreHeldToTheSameRules(t *testing.T) {
	for name, c := range map[string]struct {
		admin   string
		sockets []string
		want    string // "" none
	}{
		"others":                        {"127.0.0.1:9", []string{":1", ":2", ":3"}, ""},
		"admin off":                     {"off", []string{":1", ":2"}, ""},
		"open admin without a token":    {":9", nil, "--admin: the admin API listens on :9 without a token"},
		"admin on no address":           {"9", nil, `--admin: the admin API cannot listen on "9"; a port alone is ambiguous`},
		"admin where a socket is":       {"127.0.0.1:7", []string{"127.0.0.1:7"}, `the admin API and the socket ":8080" have the same address`},
		"admin where UDP is":            {"127.0.0.1:7", []string{":1", ":2", "127.0.0.1:7"}, ""},
		"a socket on no address":        {"off", []string{"8080"}, `--listen: "8080" cannot be listened on`},
		"two sockets on one":            {"off", []string{":7", ":7"}, `--listen: the sockets ":8080" and ":8090" have the same address`},
		"TCP and UDP on one":            {"off", []string{":7", ":8", ":7"}, ""},
		"free ports are never the same": {"127.0.0.1:0", []string{"127.0.0.1:0", "127.0.0.1:0"}, ""},
		"two Unix sockets on one":       {"unix:/a", []string{"unix:/a"}, `the admin API and the socket ":8080" have the same address`},
	} {
		got := lines(bound(t, c.admin, c.sockets...))
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestFreePortsNeverClash(t *testing.T) {
	c := load(t, "listen: 127.0.0.1:0", "admin: 127.0.0.1:0", "routes:", "  ANY /**: http://a:1")
	if !slices.ContainsFunc(c.Sockets, func(s config.Socket) bool { return s.Address == "127.0.0.1:0" }) || c.Admin.Address != "127.0.0.1:0" {
		t.Errorf("sockets %v, admin %s", c.Sockets, c.Admin.Address)
	}
}
