package rewrite_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/filter/rewrite"
)

func decode(tb testing.TB, text string) (*rewrite.Config, []doc.Problem) {
	tb.Helper()
	var ps doc.Problems
	c, ok := rewrite.Definition().New().(*rewrite.Config)
	if !ok {
		tb.Fatal("New gives no *Config")
	}
	doc.Decode(doc.Parse("test.yaml", []byte("rewrite: "+text), &ps).Get("rewrite"), c, &ps)
	return c, ps.Sorted()
}

func build(tb testing.TB, c *rewrite.Config) filter.Policy {
	tb.Helper()
	p, err := rewrite.Definition().Build(filter.Env{}, c)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// recorder keeps what a backend would be sent.
type recorder struct{ uri, host string }

func (s *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	s.uri, s.host = r.URL.RequestURI(), r.Host
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// request is one whose route captured {id} and, as the rest, what follows /shop/.
func request(tb testing.TB, target, id string) *http.Request {
	tb.Helper()
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader("body"))
	x := &exchange.Exchange{Path: r.URL.EscapedPath(), Query: r.URL.RawQuery}
	x.Params.Add("id", id)
	rest, _ := strings.CutPrefix(r.URL.EscapedPath(), "/shop/")
	x.Params.Add("**", rest)
	return exchange.With(r, x)
}

func TestPathAndHostAreRewritten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ config, target, id, want, host string }{
		{`/internal/{id}`, "http://a/shop/7?q=1", "7", "/internal/7?q=1", "a"},
		{`/internal/{id}`, "http://a/shop/a%2Fb", "a/b", "/internal/a%2Fb", "a"},
		{`/internal/**`, "http://a/shop/x%20y/z/?q", "", "/internal/x%20y/z/?q", "a"},
		{`{ strip: /shop }`, "http://a/shop/x", "", "/x", "a"},
		{`{ strip: /shop }`, "http://a/shop", "", "/", "a"},
		{`{ strip: /shop }`, "http://a/shopping", "", "/shopping", "a"},
		{`{ strip: /shop, host: "users.internal:8080" }`, "http://a/shop/x?q=1", "", "/x?q=1", "users.internal:8080"},
		{`{ host: b }`, "http://a/shop/x%2Fy", "", "/shop/x%2Fy", "b"},
	} {
		cfg, problems := decode(t, c.config)
		if len(problems) > 0 {
			t.Errorf("%s: %v", c.config, problems)
			continue
		}
		var sent recorder
		res, err := build(t, cfg).Adapt(&sent).RoundTrip(request(t, c.target, c.id))
		if err != nil || sent.uri != c.want || sent.host != c.host {
			t.Errorf("%s of %s sent %s to %s, %v; want %s to %s", c.config, c.target, sent.uri, sent.host, err, c.want, c.host)
			continue
		}
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestReplacePrefixIsTheGatewayAPIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ target, prefix, replacement, want string }{
		{"/foo/bar", "/foo", "/xyz", "/xyz/bar"},
		{"/foo", "/foo/", "/xyz/", "/xyz"},
		{"/foo/", "/foo", "", "/"},
		{"/foo", "/foo", "", "/"},
		{"/bar", "/", "/xyz", "/xyz/bar"},
	} {
		var sent recorder
		p := build(t, &rewrite.Config{ReplacePrefix: &c.replacement, MatchPrefix: c.prefix})
		if _, err := p.Adapt(&sent).RoundTrip(request(t, "http://a"+c.target, "")); err != nil || sent.uri != c.want {
			t.Errorf("%s with %s for %s: %s, %v; want %s", c.target, c.replacement, c.prefix, sent.uri, err, c.want)
		}
	}
}

func TestASegmentCannotBeLeft(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"..", ".", "a\x00", "\xff", "../admin"} {
		body := &closed{Reader: strings.NewReader("x")}
		r := request(t, "http://a/shop/x", id)
		r.Body = body
		var sent recorder
		_, err := build(t, &rewrite.Config{Path: "/internal/{id}"}).Adapt(&sent).RoundTrip(r)
		if f, ok := errors.AsType[*fault.Fault](err); !ok || f.Code != "ambiguous-path" || sent.uri != "" || !body.closed {
			t.Errorf("%q: %v, sent %q, body closed %v", id, err, sent.uri, body.closed)
		}
	}
}

type closed struct {
	io.Reader
	closed bool
}

func (c *closed) Close() error { c.closed = true; return nil }

func TestMistakesAreTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`internal`:                `does not begin with a slash`,
		`"/{id"`:                  `a { without a }`,
		`{ path: /a, strip: /b }`: `path and strip exclude each other`,
		`{ strip: shop }`:         `the prefix "shop" is no path`,
		`{ strip: /a/../b }`:      `the prefix "/a/../b" is no path`,
		`{ host: "a b" }`:         `the host "a b" cannot be sent`,
		`{ host: "{id}.dev" }`:    `cannot be sent`,
		`{ path: "" }`:            `path is empty`,
		`{}`:                      `rewrite changes nothing`,
		`{ pth: /a }`:             `did you mean "path"?`,
		`[/a]`:                    `a list is given where a map is expected`,
		`/a?b=c`:                  `a path has no ?`,
	} {
		_, problems := decode(t, text)
		if len(problems) == 0 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}

// FuzzRewrite: what is sent is a normalised path below the template's own segments.
func FuzzRewrite(f *testing.F) {
	f.Add("/shop/x", "7")
	f.Add("/shop/%2e%2e/x", "..")
	f.Add("/shop//a;b/ä", "a/../b")
	p, err := rewrite.Definition().Build(filter.Env{}, &rewrite.Config{Path: "/internal/{id}/**"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path, id string) {
		normal, err := httpx.NormalizePath(path)
		if err != nil || id == "" || !strings.HasPrefix(normal.Text, "/shop/") {
			return
		}
		x := &exchange.Exchange{Path: normal.Text}
		x.Params.Add("id", id)
		x.Params.Add("**", strings.TrimPrefix(normal.Text, "/shop/"))
		r := exchange.With(&http.Request{URL: &url.URL{Path: httpx.Unescape(normal.Text), RawPath: normal.Text}, Header: http.Header{}}, x)
		var sent recorder
		if _, err := p.Adapt(&sent).RoundTrip(r); err != nil {
			return
		}
		again, err := httpx.NormalizePath(sent.uri)
		if err != nil || again.Text != sent.uri || !strings.HasPrefix(sent.uri, "/internal/") ||
			strings.Count(sent.uri, "/") != strings.Count(normal.Text, "/")+1 {
			t.Fatalf("%q with %q sent %q: %v", path, id, sent.uri, err)
		}
	})
}

func BenchmarkAdapt(b *testing.B) {
	for name, c := range map[string]rewrite.Config{"path": {Path: "/internal/{id}"}, "strip": {Strip: "/shop"}} {
		b.Run(name, func(b *testing.B) {
			next := build(b, &c).Adapt(answer{&http.Response{Body: http.NoBody}})
			r := request(b, "http://a/shop/7", "7")
			b.ReportAllocs()
			for b.Loop() {
				r.URL.Path, r.URL.RawPath = "/shop/7", ""
				if _, err := next.RoundTrip(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type answer struct{ res *http.Response }

func (a answer) RoundTrip(*http.Request) (*http.Response, error) { return a.res, nil }
