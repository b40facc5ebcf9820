package static_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/discovery/static"
)

// found gives what a provider tells.
func found(t *testing.T, service config.Service) []discovery.Endpoint {
	t.Helper()
	p, err := static.New(discovery.Env{}, service)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var sets [][]discovery.Endpoint
	if err := p.Run(ctx, func(list []discovery.Endpoint) { sets = append(sets, list); cancel() }); err != nil || len(sets) != 1 {
		t.Fatalf("%v, %v", sets, err)
	}
	return sets[0]
}

func TestAURLIsOneEndpoint(t *testing.T) {
	for ref, want := range map[string]string{
		"http://users":        "users:80",
		"http://users:8080":   "users:8080",
		"https://users":       "users:443",
		"h2c://users":         "users:80",
		"grpc://users:50051":  "users:50051",
		"grpcs://users":       "users:443",
		"http://[::1]":        "[::1]:80",
		"http://[::1]:8080":   "[::1]:8080",
		"http://10.0.0.1":     "10.0.0.1:80",
		"http://my_app.net:1": "my_app.net:1",
	} {
		scheme, rest, _ := strings.Cut(ref, ":")
		got := found(t, config.Service{Source: config.Ref{Scheme: scheme, Rest: rest}})
		if !slices.Equal(got, []discovery.Endpoint{{Address: want, Weight: 1}}) {
			t.Errorf("%s: %+v", ref, got)
		}
	}
}

func TestAReferenceThatIsNoAddress(t *testing.T) {
	schemes := static.Definition().Schemes
	for rest, why := range map[string]string{
		"users:8080":           "two slashes",
		"//":                   "neither a name nor an address",
		"//:8080":              "neither a name nor an address",
		"//users:":             "not a number",
		"//users:0":            "not a number",
		"//users:70000":        "not a number",
		"//users:http":         "not a number",
		"//me:secret@users":    "user in a URL",
		"//users/path":         "no path",
		"//users?x":            "no path",
		"//us ers":             "neither a name nor an address",
		"//::1":                "IPv6 stands in brackets",
		"//[nonsense:]:80":     "neither a name nor an address",
		"//$(touch /tmp/x)":    "no path",
		"//users\r\nX-Evil: 1": "not a number",
	} {
		err := schemes[0].Check(config.Ref{Scheme: "http", Rest: rest})
		if err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v", rest, err)
		}
		if _, err := static.New(discovery.Env{}, config.Service{Source: config.Ref{Scheme: "http", Rest: rest}}); err == nil {
			t.Errorf("%q makes a provider", rest)
		}
	}
}

func TestAListOfEndpoints(t *testing.T) {
	got := found(t, config.Service{Endpoints: []config.Endpoint{{Address: "a:1", Weight: 2, Zone: "x"}, {Address: "b:1"}}})
	if !slices.Equal(got, []discovery.Endpoint{{Address: "a:1", Weight: 2, Zone: "x"}, {Address: "b:1"}}) {
		t.Errorf("%+v", got)
	}
	if got := found(t, config.Service{}); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	for _, e := range []config.Endpoint{{Address: "a"}, {Address: "a:1", Weight: -1}} {
		if _, err := static.New(discovery.Env{}, config.Service{Endpoints: []config.Endpoint{e}}); err == nil {
			t.Errorf("%+v is taken", e)
		}
	}
}

func TestExamplesAreRight(t *testing.T) {
	for _, s := range static.Definition().Schemes {
		rest, ok := strings.CutPrefix(s.Example, s.Name+":")
		if !ok || s.Check(config.Ref{Scheme: s.Name, Rest: rest}) != nil || s.Summary == "" {
			t.Errorf("%+v", s)
		}
		if s.Protocol == "" {
			t.Errorf("%s speaks nothing", s.Name)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, seed := range []string{"//users:8080", "//[::1]:1", "//", "//[", "//a@b", "//[]:1", "//[[::1]]:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, rest string) {
		p, err := static.New(discovery.Env{}, config.Service{Source: config.Ref{Scheme: "http", Rest: rest}})
		if (err == nil) != (static.Definition().Schemes[0].Check(config.Ref{Scheme: "http", Rest: rest}) == nil) {
			t.Fatalf("%q: check and provider differ", rest)
		}
		if err != nil {
			return
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = p.Run(ctx, func(list []discovery.Endpoint) {
			if strings.ContainsAny(list[0].Address, " \r\n/@?#\x00") {
				t.Errorf("%q became %q", rest, list[0].Address)
			}
		})
	})
}
