package template_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/template"
)

func mustParse(tb testing.TB, text string) template.Path {
	tb.Helper()
	p, err := template.Parse(text)
	if err != nil {
		tb.Fatalf("%s: %v", text, err)
	}
	return p
}

// captured is an exchange whose route captured pairs of names and values.
func captured(path string, pairs ...string) *exchange.Exchange {
	x := &exchange.Exchange{Path: path}
	for i := 0; i < len(pairs); i += 2 {
		x.Params.Add(pairs[i], pairs[i+1])
	}
	return x
}

func TestExpandInsertsCaptures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		template string
		x        *exchange.Exchange
		want     string
	}{
		{"/", captured("/a"), "/"},
		{"/fixed/path", captured("/a"), "/fixed/path"},
		{"/fixed path", captured("/a"), ""},
		{"/v2/{id}", captured("/a/7", "id", "7"), "/v2/7"},
		{"/v2/{id}.json", captured("/a/7", "id", "7"), "/v2/7.json"},
		{"/v2/{a}-{b}", captured("/a", "a", "1", "b", "2"), "/v2/1-2"},
		{"/v2/{id}", captured("/a", "id", "a/b"), "/v2/a%2Fb"},
		{"/v2/{id}", captured("/a", "id", "ä b?#;x"), "/v2/%C3%A4%20b%3F%23%3Bx"},
		{"/v2/{id}", captured("/a", "id", "a:b@c!$&'()*+,="), "/v2/a:b@c!$&'()*+,="},
		{"/in/**", captured("/a/x/y", "**", "x/y"), "/in/x/y"},
		{"/in/**", captured("/a/x%20y/", "**", "x%20y/"), "/in/x%20y/"},
		{"/in/**", captured("/a", "**", ""), "/in"},
		{"/in/**", captured("/a/", "**", ""), "/in/"},
		{"/**", captured("/a", "**", ""), "/"},
		{"/in/{rest...}", captured("/a/x/y", "rest", "x/y"), "/in/x/y"},
		{"/{id}/**", captured("/a/b/c", "id", "b", "**", "c"), "/b/c"},
	} {
		p, err := template.Parse(c.template)
		if err != nil {
			if c.want != "" {
				t.Errorf("%s: %v", c.template, err)
			}
			continue
		}
		if got, err := p.Expand(c.x); err != nil || got != c.want {
			t.Errorf("%s of %s = %q, %v; want %q", c.template, c.x.Path, got, err, c.want)
		}
	}
}

func TestExpandRefusesWhatLeavesItsSegment(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		template, name, value, code string
	}{
		{"/v2/{id}", "id", "..", "ambiguous-path"},
		{"/v2/{id}", "id", ".", "ambiguous-path"},
		{"/v2/.{id}", "id", ".", "ambiguous-path"},
		{"/v2/{id}/x", "id", "../admin", "ambiguous-path"},
		{"/v2/{id}", "id", "a\x00", "ambiguous-path"},
		{"/v2/{id}", "id", "\xff", "ambiguous-path"},
		{"/v2/**", "**", "../x", "ambiguous-path"},
		{"/v2/{id}", "other", "x", "route-broken"},
	} {
		got, err := mustParse(t, c.template).Expand(captured("/a", c.name, c.value))
		if f, ok := errors.AsType[*fault.Fault](err); !ok || f.Code != c.code {
			t.Errorf("%s with %q = %q, %v; want %s", c.template, c.value, got, err, c.code)
		}
	}
}

func TestMakeAsksForEachValueOnce(t *testing.T) {
	failure := errors.New("not there")
	for text, want := range map[string]string{
		"/": "/", "/plain": "/plain", "/{a}": "/1%2F2", "/x/{a}.json": "/x/1%2F2.json", "/{a}/{none}": "not there", "/{dots}": "ambiguous-path",
	} {
		got, err := mustParse(t, text).Make(func(name string) (string, error) {
			switch name {
			case "a":
				return "1/2", nil
			case "dots":
				return "..", nil
			default:
				return "", failure
			}
		})
		if err != nil {
			got = err.Error()
		}
		if got != want && !strings.HasPrefix(got, want+":") {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":               "does not begin with a slash",
		"a":              `write "/a"`,
		"/{":             "a { without a }",
		"/{a/b}":         "a { without a }",
		"/a}":            "a } without a {",
		"/{1}":           "no name of a parameter",
		"/{}":            "no name of a parameter",
		"/a*":            "a * has no meaning here",
		"/**/b":          "a * has no meaning here",
		"/{rest...}/b":   "whole segments at the end",
		"/x{rest...}":    "whole segments at the end",
		"/a?b=c":         "a path has no ?",
		"/a#b":           "a path has no #",
		"/a/../b":        "dot segment",
		"/a%2e%2e/%2e./": "dot segment",
		`/a\b`:           "backslash",
		"/%zz":           "two hexadecimal digits",
	} {
		_, err := template.Parse(text)
		if e, ok := errors.AsType[*template.Error](err); !ok || !strings.Contains(e.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// The table of the Gateway API's HTTPPathModifier.
func TestReplacePrefixFollowsTheGatewayAPI(t *testing.T) {
	t.Parallel()
	for _, c := range [][4]string{
		{"/foo/bar", "/foo", "/xyz", "/xyz/bar"},
		{"/foo/bar", "/foo", "/xyz/", "/xyz/bar"},
		{"/foo/bar", "/foo/", "/xyz", "/xyz/bar"},
		{"/foo/bar", "/foo/", "/xyz/", "/xyz/bar"},
		{"/foo", "/foo", "/xyz", "/xyz"},
		{"/foo/", "/foo", "/xyz", "/xyz/"},
		{"/foo/bar", "/foo", "", "/bar"},
		{"/foo/", "/foo", "", "/"},
		{"/foo", "/foo", "", "/"},
		{"/foo/", "/foo", "/", "/"},
		{"/foo", "/foo", "/", "/"},
		{"/foobar", "/foo", "/x", "/foobar"},
		{"/a", "/", "/x", "/x/a"},
		{"/", "/", "/x", "/x/"},
	} {
		if got := template.ReplacePrefix(c[0], c[1], c[2]); got != c[3] {
			t.Errorf("%s with %s for %s = %s, want %s", c[0], c[2], c[1], got, c[3])
		}
	}
}

func TestSetKeepsBothFormsOfAPath(t *testing.T) {
	t.Parallel()
	u := &url.URL{Path: "/old", RawQuery: "q=1"}
	template.Set(u, "/a%2Fb/c")
	if u.Path != "/a/b/c" || u.EscapedPath() != "/a%2Fb/c" || u.RequestURI() != "/a%2Fb/c?q=1" {
		t.Errorf("path %q, escaped %q, %s", u.Path, u.EscapedPath(), u.RequestURI())
	}
}

func TestConstantTemplatesAllocateNothing(t *testing.T) {
	p, x := mustParse(t, "/fixed/path"), captured("/a")
	if n := testing.AllocsPerRun(100, func() { _, _ = p.Expand(x) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzExpand: whatever is captured, a made path is in its one form, keeps the
// template's segments, and the value is what its segment decodes to.
func FuzzExpand(f *testing.F) {
	for _, seed := range [][2]string{{"/v2/{id}/end", "a/b"}, {"/{id}", ".."}, {"/x/{id}.json", "%2e"}, {"/{id}:go", "ä;b"}, {"/a/{rest...}", "x//../y"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		p, err := template.Parse(text)
		if err != nil {
			return
		}
		x := captured("/a")
		for _, name := range p.Names() {
			if name == template.Rest || strings.Contains(text, "{"+name+"...}") {
				return // a rest comes from a normalised path
			}
			x.Params.Add(name, value)
		}
		made, err := p.Expand(x)
		if err != nil || value == "" {
			return
		}
		again, err := httpx.NormalizePath(made)
		if err != nil || again.Text != made {
			t.Fatalf("%q with %q made %q, which normalises to %q, %v", text, value, made, again.Text, err)
		}
		if strings.Count(made, "/") != strings.Count(mustNormal(t, text), "/") {
			t.Fatalf("%q with %q made %q: segments changed", text, value, made)
		}
	})
}

// mustNormal is a template with its parameters replaced, normalised.
func mustNormal(t *testing.T, text string) string {
	t.Helper()
	for {
		before, after, ok := strings.Cut(text, "{")
		if !ok {
			break
		}
		_, after, _ = strings.Cut(after, "}")
		text = before + "x" + after
	}
	p, err := httpx.NormalizePath(text)
	if err != nil {
		t.Fatal(err)
	}
	return p.Text
}

func BenchmarkExpand(b *testing.B) {
	p, x := mustParse(b, "/internal/{id}/items"), captured("/a/7", "id", "order-7")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Expand(x); err != nil {
			b.Fatal(err)
		}
	}
}
