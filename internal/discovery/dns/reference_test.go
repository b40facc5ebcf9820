package dns

import (
	"strconv"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
)

func TestURLs(t *testing.T) {
	for ref, want := range map[string]string{
		"http://users":            "users 80",
		"http://users:8080":       "users 8080",
		"https://users":           "users 443, for users",
		"https://users.internal.": "users.internal. 443, for users.internal",
		"h2c://users":             "users 80",
		"grpc://users:50051":      "users 50051",
		"grpcs://users":           "users 443, for users",
		"http://[::1]":            "[::1]:80",
		"http://[::1]:8080":       "[::1]:8080",
		"https://10.0.0.1":        "10.0.0.1:443",
		"http://my_app.net:1":     "my_app.net 1",
	} {
		scheme, rest, _ := strings.Cut(ref, ":")
		made, err := newHub().provider(discovery.Env{}, source(scheme, rest))
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		p, ok := made.(*provider)
		if !ok || len(p.targets) != 1 {
			t.Fatalf("%s: %T", ref, made)
		}
		got := p.targets[0].address
		if got == "" {
			got = p.targets[0].host + " " + strconv.Itoa(int(p.targets[0].port))
		}
		if name := p.targets[0].name; name != "" {
			got += ", for " + name
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", ref, got, want)
		}
	}
}

func TestReferencesThatAreNone(t *testing.T) {
	long := strings.Repeat("a", 64)
	for ref, why := range map[string]string{
		"http:users:8080":           "two slashes",
		"http://":                   "neither a name nor an address",
		"http://:8080":              "neither a name nor an address",
		"http://users:":             "not a number",
		"http://users:0":            "not a number",
		"http://users:70000":        "not a number",
		"http://users:http":         "not a number",
		"http://me:secret@users":    "user in a URL",
		"http://users/path":         "no path",
		"http://users?x":            "no path",
		"http://us ers":             "neither a name nor an address",
		"http://::1":                "IPv6 stands in brackets",
		"http://[nonsense:]:80":     "only an IPv6 address",
		"http://[users]:80":         "only an IPv6 address",
		"http://[10.0.0.1]":         "only an IPv6 address",
		"http://::1]":               "IPv6 stands in brackets",
		"http://[::1]x:80":          "IPv6 stands in brackets",
		"http://$(touch /tmp/x)":    "no path",
		"http://users\r\nX-Evil: 1": "not a number",
		"http://a..b":               "neither a name nor an address",
		"http://.":                  "neither a name nor an address",
		"http://" + long:            "neither a name nor an address",
		"http://" + strings.Repeat("a.", 127) + "com": "neither a name nor an address",
		"srv://_http._tcp.users":                      "no slashes",
		"srv:_http._tcp.users:80":                     "the port is what the record tells",
		"srv:":                                        "neither a name nor an address",
		"srv:_http._tcp.us ers":                       "neither a name nor an address",
	} {
		scheme, rest, _ := strings.Cut(ref, ":")
		for _, s := range Definition().Schemes {
			if s.Name != scheme {
				continue
			}
			if err := s.Check(config.Ref{Scheme: scheme, Rest: rest}); err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%q: %v", ref, err)
			}
		}
		if _, err := newHub().provider(discovery.Env{}, source(scheme, rest)); err == nil {
			t.Errorf("%q makes a provider", ref)
		}
	}
	for _, s := range []config.Service{
		{Endpoints: []config.Endpoint{{Address: "a"}}}, {Endpoints: []config.Endpoint{{Address: "a:1", Weight: -1}}},
		{Endpoints: []config.Endpoint{{Address: "unix:app.sock"}}}, source("unix", "/run/app.sock"),
	} {
		if _, err := newHub().provider(discovery.Env{}, s); err == nil {
			t.Errorf("%+v is taken", s)
		}
	}
}

func TestWhoseCertificateIsWanted(t *testing.T) {
	for name, want := range map[string]string{
		"users.internal": "users.internal", "users.internal.": "users.internal", "_https._tcp.users.internal": "users.internal",
		"_users._tcp.service.consul.": "service.consul", "_x": "_x", "": "",
	} {
		if got := certifiedFor(name); got != want {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

func TestExamplesAreRight(t *testing.T) {
	for _, s := range Definition().Schemes {
		rest, ok := strings.CutPrefix(s.Example, s.Name+":")
		if !ok || s.Check(config.Ref{Scheme: s.Name, Rest: rest}) != nil || s.Summary == "" || s.Protocol == "" {
			t.Errorf("%+v", s)
		}
	}
}

// What is taken for a name or an address holds nothing that ends one elsewhere, and the
// check and the provider agree.
func FuzzReference(f *testing.F) {
	for _, seed := range []string{"//users:8080", "//[::1]:1", "//", "//[", "//a@b", "//[]:1", "//[[::1]]:1", "//[fe80::1%eth0]:1", "_http._tcp.users"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, rest string) {
		for _, s := range Definition().Schemes {
			made, err := newHub().provider(discovery.Env{}, source(s.Name, rest))
			if (err == nil) != (s.Check(config.Ref{Scheme: s.Name, Rest: rest}) == nil) {
				t.Fatalf("%s:%q: check and provider differ", s.Name, rest)
			}
			p, ok := made.(*provider)
			if !ok {
				continue
			}
			for _, name := range append([]string{p.srv}, candidatesOf(p)...) {
				if strings.ContainsAny(name, " \r\n/@?#:\x00\\\"") || len(name) > discovery.LongestName+1 {
					t.Errorf("%q became %q", rest, name)
				}
			}
		}
	})
}

func candidatesOf(p *provider) []string {
	var all []string
	for _, target := range p.targets {
		all = append(all, target.host)
		if target.host != "" {
			all = append(all, settings{search: []string{"svc.cluster.local."}, ndots: 5}.candidates(target.host)...)
		}
	}
	return all
}
