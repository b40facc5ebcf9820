package redirect_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/filter/redirect"
)

func decode(tb testing.TB, text string) (*redirect.Config, []doc.Problem) {
	tb.Helper()
	var ps doc.Problems
	c, ok := redirect.Definition().New().(*redirect.Config)
	if !ok {
		tb.Fatal("New gives no *Config")
	}
	doc.Decode(doc.Parse("test.yaml", []byte("redirect: "+text), &ps).Get("redirect"), c, &ps)
	return c, ps.Sorted()
}

// client is an exchange on https://shop.dev:8443/old/a%20b?q=1 whose route captured {id} and the rest.
func client() *exchange.Exchange {
	x := &exchange.Exchange{
		Path: "/old/a%20b", Query: "q=1", Host: "shop.dev", Client: exchange.Client{Scheme: "https", Host: "Shop.dev:8443"},
	}
	x.Params.Add("id", "a b")
	x.Params.Add("**", "a%20b")
	return x
}

func follow(tb testing.TB, c *redirect.Config, x *exchange.Exchange) (*http.Response, error) {
	tb.Helper()
	p, err := redirect.Definition().Build(filter.Env{}, c)
	if err != nil {
		tb.Fatal(err)
	}
	if p.Note == "" {
		tb.Error("no note")
	}
	return p.Adapt(nil).RoundTrip(exchange.With(httptest.NewRequest(http.MethodGet, "/", nil), x))
}

func TestRedirectLeadsWhereItSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ config, want string }{
		{`https://new.dev/`, "https://new.dev/?q=1"},
		{`https://new.dev`, "https://new.dev/?q=1"},
		{`https://new.dev:443/x/{id}`, "https://new.dev/x/a%20b?q=1"},
		{`http://new.dev:8080/**`, "http://new.dev:8080/a%20b?q=1"},
		{`/new/{id}`, "/new/a%20b?q=1"},
		{`/new?fixed=1`, "/new?fixed=1"},
		{`https://[::1]:9/`, "https://[::1]:9/?q=1"},
		{`{ scheme: http }`, "http://shop.dev/old/a%20b?q=1"},
		{`{ scheme: https }`, "https://shop.dev/old/a%20b?q=1"},
		{`{ scheme: https, port: 8443 }`, "https://shop.dev:8443/old/a%20b?q=1"},
		{`{ host: new.dev }`, "https://new.dev/old/a%20b?q=1"},
		{`{ port: 443 }`, "https://shop.dev/old/a%20b?q=1"},
		{`{ strip: /old }`, "/a%20b?q=1"},
		{`{ strip: /old, host: new.dev }`, "https://new.dev/a%20b?q=1"},
	} {
		cfg, problems := decode(t, c.config)
		if len(problems) > 0 {
			t.Errorf("%s: %v", c.config, problems)
			continue
		}
		res, err := follow(t, cfg, client())
		if err != nil || res.Header.Get("Location") != c.want || res.StatusCode != http.StatusFound {
			t.Errorf("%s: %v, %v; want %s", c.config, res, err, c.want)
		}
	}
}

// The rules of HTTPRequestRedirectFilter for ports and paths.
func TestRedirectFollowsTheGatewayAPI(t *testing.T) {
	t.Parallel()
	empty, xyz := "", "/xyz"
	for _, c := range []struct {
		config redirect.Config
		want   string
	}{
		{redirect.Config{ListenerPort: 8443}, "https://shop.dev:8443/old/a%20b?q=1"},
		{redirect.Config{ListenerPort: 443}, "https://shop.dev/old/a%20b?q=1"},
		{redirect.Config{Host: "new.dev", ListenerPort: 8443}, "https://new.dev:8443/old/a%20b?q=1"},
		{redirect.Config{Scheme: "http", ListenerPort: 8443}, "http://shop.dev/old/a%20b?q=1"},
		{redirect.Config{Scheme: "http", Port: 8080, ListenerPort: 8443}, "http://shop.dev:8080/old/a%20b?q=1"},
		{redirect.Config{Port: 80, Scheme: "http"}, "http://shop.dev/old/a%20b?q=1"},
		{redirect.Config{ReplacePrefix: &xyz, MatchPrefix: "/old", ListenerPort: 443}, "https://shop.dev/xyz/a%20b?q=1"},
		{redirect.Config{ReplacePrefix: &empty, MatchPrefix: "/old", ListenerPort: 443}, "https://shop.dev/a%20b?q=1"},
		{redirect.Config{Path: "/full", ListenerPort: 443, Status: 301}, "https://shop.dev/full?q=1"},
	} {
		c.config.Absolute = true
		res, err := follow(t, &c.config, client())
		if err != nil || res.Header.Get("Location") != c.want {
			t.Errorf("%+v: %v, %v; want %s", c.config, res, err, c.want)
		}
	}
}

func TestAClientNeverChoosesAnotherHost(t *testing.T) {
	t.Parallel()
	x := client()
	x.Path, x.Client.Host, x.Host = "/", "evil.dev:99", "evil.dev"
	x.Query = "next=//evil.dev"
	for config, want := range map[string]string{
		`/new`:               "/new?next=//evil.dev",
		`https://new.dev/**`: "https://new.dev/a%20b?next=//evil.dev",
	} {
		cfg, _ := decode(t, config)
		if res, err := follow(t, cfg, x); err != nil || res.Header.Get("Location") != want {
			t.Errorf("%s: %v, %v", config, res, err)
		}
	}
	x = client()
	x.Params = exchange.Params{}
	x.Params.Add("id", "..")
	cfg, _ := decode(t, `/new/{id}`)
	if _, err := follow(t, cfg, x); !isAmbiguous(err) {
		t.Errorf("a dot segment was sent: %v", err)
	}
	x.Host, x.Client.Host = "", "" // HTTP/1.0
	cfg, _ = decode(t, `{ scheme: https }`)
	if res, err := follow(t, cfg, x); err != nil || res.Header.Get("Location") != "/old/a%20b?q=1" {
		t.Errorf("without a host: %v, %v", res, err)
	}
}

func isAmbiguous(err error) bool {
	f, ok := errors.AsType[*fault.Fault](err)
	return ok && f.Code == "ambiguous-path"
}

func TestMistakesAreTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`new.dev`:                 `neither a URL nor a path; write https://new.dev`,
		`//new.dev/`:              `begins with two slashes`,
		`ftp://new.dev/`:          `neither http nor https`,
		`"https://{id}.dev/"`:     `must not depend on what it sends`,
		`"https://a b/"`:          `no name or address`,
		`https:///x`:              `has no host`,
		`https://new.dev:0/`:      `no port between 1 and 65535`,
		`https://new.dev/#top`:    `a path has no #`,
		`{ to: /a, host: b }`:     `to says the whole target`,
		`{ host: "a:80" }`:        `write it as port`,
		`{ status: 304, to: /a }`: `304 is no redirect`,
		`{ status: 301 }`:         `leads to where the client already is`,
		`{ path: /a, strip: /b }`: `exclude each other`,
		`{ port: 70000 }`:         `not between 1 and 65535`,
		`{ two: /a }`:             `did you mean "to"?`,
		`[/a]`:                    `redirect is a list here`,
	} {
		_, problems := decode(t, text)
		if len(problems) == 0 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}

// FuzzTo: a target that is taken leads to its own host, or stays on the client's.
func FuzzTo(f *testing.F) {
	for _, seed := range []string{"https://new.dev/x", "/a", "//evil", "https://a:80/**", "http://[::1]", "https://x?y", `https://a\b/`, "/\\evil"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, to string) {
		p, err := redirect.Definition().Build(filter.Env{}, &redirect.Config{To: to})
		if err != nil {
			return
		}
		res, err := p.Adapt(nil).RoundTrip(exchange.With(httptest.NewRequest(http.MethodGet, "/", nil), client()))
		if err != nil {
			return
		}
		location := res.Header.Get("Location")
		u, err := url.Parse(location)
		if err != nil || strings.ContainsAny(location, "\r\n\\ ") {
			t.Fatalf("%q leads to %q: %v", to, location, err)
		}
		if strings.HasPrefix(to, "/") && (u.Host != "" || strings.HasPrefix(location, "//")) {
			t.Fatalf("%q leads to another host: %q", to, location)
		}
	})
}

func BenchmarkRedirect(b *testing.B) {
	p, err := redirect.Definition().Build(filter.Env{}, &redirect.Config{To: "https://new.dev/x/{id}"})
	if err != nil {
		b.Fatal(err)
	}
	rt, r := p.Adapt(nil), exchange.With(httptest.NewRequest(http.MethodGet, "/", nil), client())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rt.RoundTrip(r); err != nil {
			b.Fatal(err)
		}
	}
}
