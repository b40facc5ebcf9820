package cors_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/filter/cors"
)

func decode(tb testing.TB, text string) (*cors.Config, []doc.Problem) {
	tb.Helper()
	var ps doc.Problems
	c, ok := cors.Definition().New().(*cors.Config)
	if !ok {
		tb.Fatal("New gives no *Config")
	}
	doc.Decode(doc.Parse("test.yaml", []byte("cors: "+text), &ps).Get("cors"), c, &ps)
	return c, ps.Sorted()
}

func build(tb testing.TB, c *cors.Config) filter.Policy {
	tb.Helper()
	p, err := cors.Definition().Build(filter.Env{}, c)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func policy(tb testing.TB, text string) filter.Policy {
	tb.Helper()
	c, problems := decode(tb, text)
	if len(problems) > 0 {
		tb.Fatal(problems)
	}
	return build(tb, c)
}

// send runs a request through the guard; the backend behind has CORS fields of its own.
func send(p filter.Policy, method string, fields ...string) (*http.Response, bool) {
	reached := false
	backend := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached = true
		w.Header().Set("Access-Control-Allow-Origin", "https://backend.own")
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		w.Header().Set("X-Total", "3")
		w.WriteHeader(http.StatusForbidden)
	})
	r := httptest.NewRequest(method, "http://api.shop.dev/", nil)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	rec := httptest.NewRecorder()
	w, r := exchange.Begin(rec, r, &exchange.Exchange{Path: "/"})
	p.Guard(backend).ServeHTTP(w, r)
	w.Finish(nil)
	return rec.Result(), reached
}

func TestOnlyAllowedOriginsAreReflected(t *testing.T) {
	t.Parallel()
	p := policy(t, `{ origins: [https://shop.dev, "https://*.shop.dev", "http://*.local:8080", https://Port.dev:443, "http://[::1]:3000", capacitor://localhost] }`)
	for origin, want := range map[string]bool{
		"https://shop.dev":               true,
		"https://a.shop.dev":             true,
		"https://a.b.shop.dev":           true,
		"http://x.local:8080":            true,
		"https://port.dev":               true,
		"http://[::1]:3000":              true,
		"capacitor://localhost":          true,
		"http://shop.dev":                false,
		"https://shop.dev:444":           false,
		"https://shop.dev.evil.dev":      false,
		"https://evilshop.dev":           false,
		"https://.shop.dev":              false,
		"https://a..shop.dev":            false,
		"https://evil.dev/.shop.dev":     false,
		"https://evil.dev#.shop.dev":     false,
		"https://user@a.shop.dev":        false,
		"https://evil.dev:80.shop.dev":   false,
		"http://x.local":                 false,
		"null":                           false,
		"":                               false,
		"https://a.shop.dev, https://b":  false,
		"https://shop.dev\thttps://b.sh": false,
	} {
		res, reached := send(p, http.MethodGet, "Origin", origin)
		got := res.Header.Get("Access-Control-Allow-Origin")
		if want && got != origin || !want && got != "" {
			t.Errorf("%q: allowed %q", origin, got)
		}
		if res.Header.Get("Vary") != "Origin" || !reached || res.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%q: reached %v, %v", origin, reached, res.Header)
		}
	}
	if res, _ := send(p, http.MethodGet, "Origin", "https://shop.dev", "Origin", "https://shop.dev"); res.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("two Origin fields were taken")
	}
}

func TestAnyOriginIsAStarThatCachesMayKeep(t *testing.T) {
	t.Parallel()
	p := policy(t, `"*"`)
	for _, origin := range []string{"https://anyone.dev", ""} {
		res, _ := send(p, http.MethodGet, "Origin", origin)
		if res.Header.Get("Access-Control-Allow-Origin") != "*" || res.Header.Get("Vary") != "" {
			t.Errorf("%q: %v", origin, res.Header)
		}
	}
}

func TestCredentialsEchoTheOrigin(t *testing.T) {
	t.Parallel()
	p := policy(t, `{ origins: https://shop.dev, credentials: true, expose: "*" }`)
	res, _ := send(p, http.MethodGet, "Origin", "https://shop.dev")
	h := res.Header
	if h.Get("Access-Control-Allow-Origin") != "https://shop.dev" || h.Get("Access-Control-Allow-Credentials") != "true" ||
		h.Get("Access-Control-Expose-Headers") != "Vary, X-Total" {
		t.Errorf("%v", h)
	}
	if p.Note != "https://shop.dev, credentials" {
		t.Errorf("note %q", p.Note)
	}
}

func TestPreflightIsAnsweredByTheGateway(t *testing.T) {
	t.Parallel()
	const origin, method, headers = "Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"
	for name, c := range map[string]struct {
		config string
		fields []string
		want   map[string]string
	}{
		"the asked method by default": {
			`https://shop.dev`, []string{origin, "https://shop.dev", method, "PUT", headers, "content-type"},
			map[string]string{
				"Access-Control-Allow-Origin": "https://shop.dev", "Access-Control-Allow-Methods": "PUT", "Access-Control-Allow-Headers": "Content-Type",
				"Access-Control-Max-Age": "",
			},
		},
		"lists": {
			`{ origins: https://shop.dev, methods: [PUT, DELETE], headers: [authorization, x-a], max_age: 10m }`,
			[]string{origin, "https://shop.dev", method, "PATCH"},
			map[string]string{
				"Access-Control-Allow-Methods": "PUT, DELETE", "Access-Control-Allow-Headers": "authorization, x-a", "Access-Control-Max-Age": "600",
			},
		},
		"stars without credentials": {
			`{ origins: "*", methods: "*", headers: "*" }`, []string{origin, "https://a.dev", method, "PUT", headers, "x-a"},
			map[string]string{"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "*", "Access-Control-Allow-Headers": "*"},
		},
		"stars with credentials echo": {
			`{ origins: https://a.dev, methods: "*", headers: "*", credentials: true }`, []string{origin, "https://a.dev", method, "PUT", headers, "x-a,x-b"},
			map[string]string{"Access-Control-Allow-Methods": "PUT", "Access-Control-Allow-Headers": "x-a,x-b", "Access-Control-Allow-Credentials": "true"},
		},
		"nothing that is no list is echoed": {
			`{ origins: https://a.dev, methods: "*", headers: "*", credentials: true }`, []string{origin, "https://a.dev", method, "P T", headers, "x-a;b"},
			map[string]string{"Access-Control-Allow-Methods": "", "Access-Control-Allow-Headers": ""},
		},
		"a stranger": {
			`https://shop.dev`, []string{origin, "https://evil.dev", method, "PUT"},
			map[string]string{"Access-Control-Allow-Origin": "", "Access-Control-Allow-Methods": "", "Access-Control-Allow-Headers": ""},
		},
	} {
		res, reached := send(policy(t, c.config), http.MethodOptions, c.fields...)
		if res.StatusCode != http.StatusNoContent || reached {
			t.Errorf("%s: %d, reached %v", name, res.StatusCode, reached)
		}
		for field, want := range c.want {
			if got := res.Header.Get(field); got != want {
				t.Errorf("%s: %s is %q, want %q", name, field, got, want)
			}
		}
		if vary := strings.Join(res.Header.Values("Vary"), ", "); !strings.HasSuffix(vary, "Access-Control-Request-Method, Access-Control-Request-Headers") {
			t.Errorf("%s: Vary %q", name, vary)
		}
	}
}

func TestOptionsThatAreNoPreflightReachTheBackend(t *testing.T) {
	t.Parallel()
	for _, fields := range [][]string{nil, {"Origin", "https://shop.dev"}, {"Access-Control-Request-Method", "PUT"}} {
		if _, reached := send(policy(t, `https://shop.dev`), http.MethodOptions, fields...); !reached {
			t.Errorf("%v was answered", fields)
		}
	}
}

func TestOpenOriginsWithCredentialsNeedTheGatewayAPIsWord(t *testing.T) {
	t.Parallel()
	c := &cors.Config{Origins: []string{"*"}, Credentials: true, EchoAny: true, MaxAge: 5 * time.Second}
	res, _ := send(build(t, c), http.MethodGet, "Origin", "https://a.dev")
	if res.Header.Get("Access-Control-Allow-Origin") != "https://a.dev" || res.Header.Get("Vary") != "Origin" {
		t.Errorf("%v", res.Header)
	}
	for _, open := range []string{"*", "https://*"} {
		c := &cors.Config{Origins: []string{open}, Credentials: true}
		if _, err := cors.Definition().Build(filter.Env{}, c); err == nil || !strings.Contains(err.Error(), "any site could") {
			t.Errorf("%s: %v", open, err)
		}
	}
}

func TestMistakesAreTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{ credentials: true }`:                  `"origins" is missing`,
		`shop.dev`:                               `the origin "shop.dev" has no scheme; write https://shop.dev`,
		`"null"`:                                 `the origin null cannot be allowed`,
		`https://shop.dev/`:                      `has a path`,
		`"https://*shop.dev"`:                    `whole labels at the left`,
		`"https://a.*.shop.dev"`:                 `whole labels at the left`,
		`"https://*.*.dev"`:                      `more than one *`,
		`"https://user@shop.dev"`:                `no valid host`,
		`"https://shop.dev:x"`:                   `no valid host`,
		`"https://"`:                             `no valid host`,
		`{ origins: "*", methods: [GET, "*"] }`:  `* among other methods`,
		`{ origins: "*", headers: ["a b"] }`:     `"a b" is not the name of a header`,
		`{ origins: "*", max_age: -1s }`:         `max_age`,
		`{ origins: "*", credentials: true }`:    `credentials do not go with an origin of *`,
		`{ origins: https://a.dev, maxage: 1s }`: `did you mean "max_age"?`,
	} {
		_, problems := decode(t, text)
		if len(problems) == 0 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}

// FuzzOrigins: no pattern allows an origin whose host does not end as it says.
func FuzzOrigins(f *testing.F) {
	f.Add("https://*.shop.dev", "https://a.shop.dev")
	f.Add("https://shop.dev", "https://shop.dev")
	f.Add("https://*", "https://a@b")
	f.Add("http://*:80", "http://a:80")
	f.Fuzz(func(t *testing.T, pattern, origin string) {
		p, err := cors.Definition().Build(filter.Env{}, &cors.Config{Origins: []string{pattern}})
		if err != nil || pattern == "*" {
			return
		}
		res, _ := send(p, http.MethodGet, "Origin", origin)
		got := res.Header.Get("Access-Control-Allow-Origin")
		if got == "" {
			return
		}
		_, want, _ := strings.Cut(strings.ToLower(pattern), "*")
		want = strings.TrimSuffix(strings.TrimSuffix(want, ":443"), ":80")
		if got != origin || !strings.HasSuffix(got, want) || strings.ContainsAny(strings.SplitN(got, "://", 2)[1], "/?#@ ") {
			t.Fatalf("%q allows %q", pattern, origin)
		}
	})
}

func BenchmarkGuard(b *testing.B) {
	for name, config := range map[string]string{"named": `https://shop.dev`, "any": `"*"`} {
		b.Run(name, func(b *testing.B) {
			h := policy(b, config).Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Origin", "https://shop.dev")
			x := &exchange.Exchange{}
			w, r := exchange.Begin(httptest.NewRecorder(), r, x)
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
				w.WriteHeader(http.StatusOK)
			}
		})
	}
}

func TestRefusedPreflightsAreCounted(t *testing.T) {
	metrics := telemetry.New("test")
	meter, release := metrics.Route("GET /")
	defer release()
	c, _ := decode(t, "https://shop.dev")
	p, err := cors.Definition().Build(filter.Env{Meter: meter}, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, origin := range []string{"https://shop.dev", "https://evil.dev", "null"} {
		send(p, http.MethodOptions, "Origin", origin, "Access-Control-Request-Method", "GET")
	}
	w := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if want := `weir_cors_preflights_refused_total{route="GET /"} 2`; !strings.Contains(w.Body.String(), want) {
		t.Errorf("not scraped: %s", want)
	}
}
