package pattern

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/httpx"
)

func TestPatternIsReadAsSegments(t *testing.T) {
	for text, want := range map[string][]Segment{
		"/":                   {{Kind: Literal}},
		"/orders":             {{Kind: Literal, Prefix: "orders"}},
		"/orders/":            {{Kind: Literal, Prefix: "orders"}, {Kind: Literal}},
		"/orders/{id}":        {{Kind: Literal, Prefix: "orders"}, {Kind: Param, Name: "id"}},
		"/orders/{id}:cancel": {{Kind: Literal, Prefix: "orders"}, {Kind: Mixed, Suffix: ":cancel", Name: "id"}},
		"/f/{id}.json":        {{Kind: Literal, Prefix: "f"}, {Kind: Mixed, Suffix: ".json", Name: "id"}},
		"/f/pre-{id}":         {{Kind: Literal, Prefix: "f"}, {Kind: Mixed, Prefix: "pre-", Name: "id"}},
		"/f/.{x}":             {{Kind: Literal, Prefix: "f"}, {Kind: Mixed, Prefix: ".", Name: "x"}},
		"/f/a{_x1}b":          {{Kind: Literal, Prefix: "f"}, {Kind: Mixed, Prefix: "a", Suffix: "b", Name: "_x1"}},
		"/**":                 {{Kind: Rest}},
		"/x/{path...}":        {{Kind: Literal, Prefix: "x"}, {Kind: Rest, Name: "path"}},
		"/é b":                {{Kind: Literal, Prefix: "%C3%A9%20b"}},
		"/%7euser/%3a:%2f":    {{Kind: Literal, Prefix: "~user"}, {Kind: Literal, Prefix: "%3A:%2F"}},
	} {
		p, err := ParsePath(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if !slices.Equal(p.Segments, want) {
			t.Errorf("%s: segments are %+v, want %+v", text, p.Segments, want)
		}
	}
}

func TestPatternMistakesAreToldWithPlaceAndFix(t *testing.T) {
	for _, c := range []struct {
		text   string
		offset int
		words  string
	}{
		{"orders", 0, `does not begin with a slash; write "/orders"`},
		{"", 0, "does not begin with a slash"},
		{"/a//b", 3, "two slashes in a row"},
		{"/a/./b", 3, "never reaches a route"},
		{"/a/../b", 3, "never reaches a route"},
		{"/a/%2e%2e", 3, "dot segments are refused"},
		{"/a/*", 3, "write /** at the end"},
		{"/a/b*c", 4, "a * has no meaning inside a segment"},
		{"/**/b", 1, "nothing can follow it"},
		{"/{rest...}/b", 1, "nothing can follow it"},
		{"/x-{rest...}", 1, "nothing can stand beside it"},
		{"/{a}/{a}", 5, "{a} stands twice"},
		{"/{a}-{b}", 5, "more than one parameter"},
		{"/{1a}", 2, "is no name of a parameter"},
		{"/{}", 2, "is no name of a parameter"},
		{"/{order-id}", 2, "is no name of a parameter"},
		{"/{a", 1, "a { without a }"},
		{"/a}", 2, "a } without a {"},
		{"/a%zz", 2, "write %25"},
		{"/a%2", 2, "write %25"},
		{"/a%00", 2, "%00"},
		{"/a/%ff", 3, "not valid UTF-8"},
		{"/a/%2541", 3, "encoded twice"},
		{"/{a}%01", 1, "no request reaches"},
		{"/a?b", 2, "a path has no ?"},
		{"/{a}?b", 4, "a path has no ?"},
		{`/a\b`, 2, "ambiguous"},
		{"/a\x01", 2, "control character"},
	} {
		_, err := ParsePath(c.text)
		var pe *Error
		if !errors.As(err, &pe) {
			t.Errorf("%q: error is %v, want an *Error", c.text, err)
			continue
		}
		if pe.Offset != c.offset || !strings.Contains(pe.Error(), c.words) {
			t.Errorf("%q: %d %q, want %d and words %q", c.text, pe.Offset, pe.Error(), c.offset, c.words)
		}
	}
}

func TestPatternsOfOneShapeDifferOnlyInNames(t *testing.T) {
	shape := func(text string) string {
		p, err := ParsePath(text)
		if err != nil {
			t.Fatal(err)
		}
		return p.Shape()
	}
	if a, b := shape("/a/{id}/{x...}"), shape("/a/{name}/**"); a != b {
		t.Errorf("shapes differ: %s, %s", a, b)
	}
	if a, b := shape("/a/{id}"), shape("/a/{id}.json"); a == b {
		t.Errorf("shapes are equal: %s", a)
	}
	if a, b := shape("/a"), shape("/a/"); a == b {
		t.Errorf("a trailing slash does not count: %s", a)
	}
}

func TestHostPatterns(t *testing.T) {
	for text, want := range map[string]Host{
		"Shop.DEV":               {Kind: HostExact, Name: "shop.dev"},
		"shop.dev.":              {Kind: HostExact, Name: "shop.dev"},
		"*.shop.dev":             {Kind: HostWildcard, Name: ".shop.dev"},
		"{Tenant}.shop.dev":      {Kind: HostLabel, Name: ".shop.dev", Param: "Tenant"},
		"localhost":              {Kind: HostExact, Name: "localhost"},
		"127.0.0.1":              {Kind: HostExact, Name: "127.0.0.1"},
		"[::1]":                  {Kind: HostExact, Name: "::1"},
		"xn--bcher-kva.example":  {Kind: HostExact, Name: "xn--bcher-kva.example"},
		"my_service.default.svc": {Kind: HostExact, Name: "my_service.default.svc"},
	} {
		h, err := ParseHost(text)
		if err != nil || h != want {
			t.Errorf("%s: %+v, %v, want %+v", text, h, err, want)
		}
	}
	for _, text := range []string{"", "*", "a..b", "shop.dev:80", "a.*.dev", "a.{x}.dev", "{1}.dev", "-a.dev", "a-.dev", "bücher.example", "{x}", "a b", strings.Repeat("a", 64) + ".dev", strings.Repeat("a.", 127) + "a"} {
		if h, err := ParseHost(text); err == nil {
			t.Errorf("%q: read as %+v, want an error", text, h)
		}
	}
}

func TestHostCovers(t *testing.T) {
	for _, c := range []struct {
		wide, narrow string
		want         bool
	}{
		{"shop.dev", "shop.dev", true},
		{"shop.dev", "a.shop.dev", false},
		{"*.shop.dev", "a.shop.dev", true},
		{"*.shop.dev", "a.b.shop.dev", true},
		{"*.shop.dev", "shop.dev", false},
		{"*.shop.dev", "*.shop.dev", true},
		{"*.shop.dev", "*.b.shop.dev", true},
		{"*.b.shop.dev", "*.shop.dev", false},
		{"*.shop.dev", "{t}.shop.dev", true},
		{"{t}.shop.dev", "a.shop.dev", true},
		{"{t}.shop.dev", "a.b.shop.dev", false},
		{"{t}.shop.dev", "{u}.shop.dev", true},
		{"{t}.shop.dev", "*.shop.dev", false},
		{"*.shop.dev", "evilshop.dev", false},
	} {
		wide, err1 := ParseHost(c.wide)
		narrow, err2 := ParseHost(c.narrow)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		if got := wide.Covers(narrow); got != c.want {
			t.Errorf("%s covers %s: %t, want %t", c.wide, c.narrow, got, c.want)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	for _, seed := range []string{"/", "/a/{id}.json", "/a/{r...}", "/**", "/%7e%2F", "/é", "/{a}/{a}", "//", "/{", "/a:b@c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePath(text)
		if err != nil {
			var pe *Error
			if !errors.As(err, &pe) || pe.Offset < 0 || pe.Offset > len(text) {
				t.Fatalf("error %#v is no *Error within %q", err, text)
			}
			return
		}
		again, err := ParsePath(p.String())
		if err != nil || !slices.Equal(again.Segments, p.Segments) {
			t.Fatalf("%q prints as %q, which reads as %+v, %v", text, p.String(), again, err)
		}
	})
}

func FuzzParseHost(f *testing.F) {
	for _, seed := range []string{"shop.dev", "*.shop.dev", "{t}.shop.dev", "::1", "[::1]", "a..b", "ı.dev", "fe80::1%eth0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseHost(text)
		if err != nil {
			return
		}
		if again, err := ParseHost(h.String()); err != nil || again != h {
			t.Fatalf("%q prints as %q, which reads as %+v, %v", text, h.String(), again, err)
		}
	})
}

// TestLiteralsHaveTheFormOfNormalisedPaths holds that what a pattern's literal
// becomes is what a request for the same text becomes.
func TestLiteralsHaveTheFormOfNormalisedPaths(t *testing.T) {
	for _, text := range []string{"/orders", "/a b", "/é", "/%7euser", "/%c3%a9", "/a:b@c", "/%3a", "/a;b", "/%2f", `/"<>|^`, "/100%25"} {
		p, err := ParsePath(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		request := strings.ReplaceAll(text, " ", "%20")
		if path, err := httpx.NormalizePath(request); err != nil || path.Text != p.String() {
			t.Errorf("%s: the pattern is %q, the path %q (%v)", text, p, path.Text, err)
		}
	}
}
