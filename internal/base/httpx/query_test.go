package httpx_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/httpx"
)

func TestQueryLookup(t *testing.T) {
	for _, tt := range []struct {
		rule, raw, name, want string
		found                 bool
	}{
		{"a value", "a=1&b=2", "b", "2", true},
		{"the first of several", "a=1&a=2", "a", "1", true},
		{"nothing", "", "a", "", false},
		{"another name", "ab=1", "a", "", false},
		{"a longer name", "a=1", "ab", "", false},
		{"no value", "a&b=2", "a", "", true},
		{"an empty value", "a=&b=2", "a", "", true},
		{"an equals sign in a value", "a=b=c", "a", "b=c", true},
		{"a decoded value", "a=x%20y+z%2B", "a", "x y z+", true},
		{"a decoded name", "%61%5B+%5d=1", "a[ ]", "1", true},
		{"an encoded ampersand separates nothing", "a=1%26b=2", "b", "", false},
		{"empty pairs are skipped", "&&a=1&", "a", "1", true},
		{"an empty name is a name", "=1", "", "1", true},
		{"an encoded name is compared decoded only", "%2561=1", "%61", "1", true},
		{"a raw plus in the asked name is itself", "a+b=1", "a+b", "", false},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			if got, found := httpx.QueryLookup(tt.raw, tt.name); got != tt.want || found != tt.found {
				t.Errorf("QueryLookup(%q, %q) = %q, %t; want %q, %t", tt.raw, tt.name, got, found, tt.want, tt.found)
			}
		})
	}
}

func TestQueryPairs(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"": "", "a": "[a|]", "a=1&b=2": "[a|1][b|2]", "&&a=1&;b=2;": "[a|1][b|2]", "a=1=2&=3": "[a|1=2][|3]", "%61=%31&b=+": "[a|1][b| ]", "a%zz=%": "[a%zz|%]", "a%00b=1": "[a\x00b|1]",
	} {
		var got strings.Builder
		for name, value := range httpx.QueryPairs(raw) {
			fmt.Fprintf(&got, "[%s|%s]", name, value)
		}
		if got.String() != want {
			t.Errorf("%q: %q, want %q", raw, got.String(), want)
		}
	}
}

func TestCheckQuery(t *testing.T) {
	for _, good := range []string{"", "a=1&b=2", "a=%3B", "q=a|b[]\"'<>", "a=b=c", "&&", "a=é", "redirect=https://shop.dev/x?y"} {
		if err := httpx.CheckQuery(good); err != nil {
			t.Errorf("CheckQuery(%q): %v", good, err)
		}
	}
	for _, bad := range []string{"a=%", "a=%4", "a=%zz", "a=1;b=2", "a=1#b", "a b", "a=\x00", "a=\r\n", "%=1"} {
		if httpx.CheckQuery(bad) == nil {
			t.Errorf("CheckQuery(%q) passes", bad)
		}
	}
}

func TestQueryLookupAllocatesNothingWithoutEncodings(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _, _ = httpx.QueryLookup("a=1&b%5B%5D=2&page=3", "page") }); n != 0 {
		t.Errorf("QueryLookup allocates %v times", n)
	}
}

// A query that passes CheckQuery is read as net/url reads it.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"a=1&b=2", "a=%41+b&a=2", "a", "=", "&", "a=1;b", "%61=%62", "a%"} {
		f.Add(seed, "a")
	}
	f.Fuzz(func(t *testing.T, raw, name string) {
		got, found := httpx.QueryLookup(raw, name)
		if httpx.CheckQuery(raw) != nil {
			return
		}
		values, err := url.ParseQuery(raw)
		if err != nil {
			t.Skip("more parameters than net/url takes")
		}
		if want := values.Get(name); got != want || found != values.Has(name) {
			t.Fatalf("QueryLookup(%q, %q) = %q, %t; net/url has %q", raw, name, got, found, want)
		}
	})
}

func TestCookieLookup(t *testing.T) {
	for _, tt := range []struct {
		rule, field, name, want string
		found                   bool
	}{
		{"the only one", "a=1", "a", "1", true},
		{"a later one", "a=1; b=2", "b", "2", true},
		{"the first of two", "a=1; a=2", "a", "1", true},
		{"quotes are not part of it", `a="1"`, "a", "1", true},
		{"an equals sign is", "a=b==", "a", "b==", true},
		{"names are case-sensitive", "A=1", "a", "", false},
		{"no name is found in a value", "b=a=1", "a", "", false},
		{"without '=' it is no cookie", "a; b=1", "a", "", false},
		{"sloppy separators", "b=1;a=2;;  c=3", "a", "2", true},
		{"nothing", "", "a", "", false},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			if got, found := httpx.CookieLookup(tt.field, tt.name); got != tt.want || found != tt.found {
				t.Errorf("CookieLookup(%q, %q) = %q, %t; want %q, %t", tt.field, tt.name, got, found, tt.want, tt.found)
			}
		})
	}
}

func TestTokensHoldNoSeparators(t *testing.T) {
	for _, good := range []string{"GET", "get", "M-SEARCH", "X!#$%&'*+.^_`|~"} {
		if !httpx.IsToken(good) {
			t.Errorf("%q is refused", good)
		}
	}
	for _, bad := range []string{"", "GET ", "GE T", "GET/", "GÉT", "G\x00T", "(GET)"} {
		if httpx.IsToken(bad) {
			t.Errorf("%q passes", bad)
		}
	}
}
