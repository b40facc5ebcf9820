package httpx_test

import (
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/httpx"
)

func TestCookiesWithout(t *testing.T) {
	for _, c := range []struct{ field, want string }{
		{"", ""},
		{"at=1", ""},
		{" at=1 ", ""},
		{"at=1;", ""},
		{"at=1; at=2", ""},
		{"at", "at"}, // which is no cookie
		{"a=1", "a=1"},
		{"a=1;at=2;b=3", "a=1;b=3"},
		{"at=1; a=2", "a=2"},
		{"a=1; at=2", "a=1"},
		{"a=1; at=2;", "a=1"},
		{"a=1;  b = 2 ;\tat=3;c=\"4\"", "a=1;  b = 2 ;c=\"4\""},
		{"  a=1;b=2", "  a=1;b=2"},
		{"At=1; at-2=3; xat=4; a=at=5; at=6", "At=1; at-2=3; xat=4; a=at=5"},
		{"a=1; at=2; ; b=3", "a=1; ; b=3"},
		{"a=1; b=2; at=x=y", "a=1; b=2"},
	} {
		if got := httpx.CookiesWithout(c.field, "at"); got != c.want {
			t.Errorf("%q: %q, want %q", c.field, got, c.want)
		}
	}
}

// Whatever a client sends: the cookie is gone, and nothing is there that was not.
func FuzzCookiesWithout(f *testing.F) {
	for _, seed := range []string{"at=1; a=2", "a=1;at=2;;", "=; at=;at", " at =1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		got := httpx.CookiesWithout(field, "at")
		if _, there := httpx.CookieLookup(got, "at"); there {
			t.Errorf("%q: it is still in %q", field, got)
		}
		if _, there := httpx.CookieLookup(field, "at"); !there && got != field {
			t.Errorf("%q became %q", field, got)
		}
		kept := strings.Split(field, ";")
		for pair := range strings.SplitSeq(got, ";") {
			for len(kept) > 0 && strings.TrimLeft(kept[0], " \t") != strings.TrimLeft(pair, " \t") {
				kept = kept[1:]
			}
			if len(kept) == 0 && pair != "" {
				t.Errorf("%q: %q is not of it, or not in its place", field, pair)
			}
		}
	})
}
