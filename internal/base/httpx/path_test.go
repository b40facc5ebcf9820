package httpx_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
)

func TestNormalizePathKeepsOrRepairs(t *testing.T) {
	for _, tt := range []struct{ rule, raw, want string }{
		{"a plain path stays", "/orders/7", "/orders/7"},
		{"an empty path is the root", "", "/"},
		{"a trailing slash stays", "/orders/", "/orders/"},
		{"sub-delimiters stay", "/a!$&'()*+,=:@b", "/a!$&'()*+,=:@b"},
		{"names with dots are no dot segments", "/.well-known/..a/a../...", "/.well-known/..a/a../..."},
		{"encoded unreserved characters are decoded", "/%61dmin/%7Euser/%2D%5F", "/admin/~user/-_"},
		{"an encoded dot in a name is decoded", "/a%2Ejson", "/a.json"},
		{"other encodings are upper-cased and kept", "/caf%c3%a9/a%20b%3a", "/caf%C3%A9/a%20b%3A"},
		{"raw UTF-8, as curl sends it, is encoded", "/café", "/caf%C3%A9"},
		{"what browsers leave raw is encoded", "/a|b[1]\"<>^`{}", "/a%7Cb%5B1%5D%22%3C%3E%5E%60%7B%7D"},
		{"slashes in a row become one", "//a///b//", "/a/b/"},
		{"only slashes are the root", "///", "/"},
		{"an encoded percent sign before other text stays", "/100%25/50%25off/%25%20", "/100%25/50%25off/%25%20"},
		{"an encoded question mark and hash stay encoded", "/a%3Fb%23c", "/a%3Fb%23c"},
		{"the replacement character itself is valid UTF-8", "/%EF%BF%BD", "/%EF%BF%BD"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			got, err := httpx.NormalizePath(tt.raw)
			if err != nil || got.Text != tt.want {
				t.Errorf("NormalizePath(%q) = %q, %v; want %q", tt.raw, got.Text, err, tt.want)
			}
			if got.EncodedSlash {
				t.Errorf("NormalizePath(%q) flags a separator that is not there", tt.raw)
			}
		})
	}
}

func TestNormalizePathFlagsSeparatorsThatServersDisagreeOn(t *testing.T) {
	for raw, want := range map[string]string{
		"/a%2fb":                   "/a%2Fb",
		"/a%5cb":                   "/a%5Cb",
		"/%2Fa":                    "/%2Fa",
		"/job/feature%252Flogin/x": "/job/feature%252Flogin/x", // Jenkins
		"/job/feature%255clogin":   "/job/feature%255clogin",
		"/cart;jsessionid=1F":      "/cart;jsessionid=1F",
		"/admin;/users":            "/admin;/users",
		"/admin%3b/users":          "/admin%3B/users",
		"/a/%252%46b":              "/a/%252Fb", // only one decoding away from the one above
	} {
		got, err := httpx.NormalizePath(raw)
		if err != nil || got.Text != want || !got.EncodedSlash {
			t.Errorf("NormalizePath(%q) = %+v, %v; want %q, flagged", raw, got, err, want)
		}
	}
}

func TestNormalizePathRefusesWhatTwoServersReadAsTwoPaths(t *testing.T) {
	for _, tt := range []struct {
		rule string
		kind fault.Kind
		raws []string
	}{
		{"dot segments", fault.AmbiguousPath, []string{
			"/..", "/.", "/a/..", "/a/../b", "/./a", "/a/.", "/a/./", "//../a", "/a//..//b", "/../../etc/passwd",
		}},
		{"dot segments with encoded dots", fault.AmbiguousPath, []string{
			"/%2e", "/%2E%2e/a", "/.%2e/a", "/%2e./a", "/a/%2e%2e", "/a/%2e/b",
		}},
		{"dot segments beside separators that only some see", fault.AmbiguousPath, []string{
			"/a%2f..", "/..%2fa", "/a%2F..%2Fb", "/..%5ca", "/a%5c%2e%2e%5cb", "/a%252f..%252fb", "/%2e%2e%2fa", "/..%255Ca",
		}},
		{"dot segments with parameters", fault.AmbiguousPath, []string{
			"/a/..;/b", "/a/.;x/b", "/a/..;x=1/b", "/a/..%3b/b", "/a/%2e%2e;/b", "/..;", "/;/a", "/a/;x/b", "/a/%3b/b",
		}},
		{"backslashes", fault.AmbiguousPath, []string{`/a\b`, `/\a`, `/..\a`}},
		{"encoded control characters", fault.AmbiguousPath, []string{"/a%00", "/%00", "/a%0ab", "/a%0D%0Ab", "/a%09", "/a%1f", "/a%7F", "/a%00.json"}},
		{"percent signs that decode twice", fault.AmbiguousPath, []string{
			"/%252e%252e/a", "/%2561dmin", "/a%2500", "/a%25252f", "/%25%32%65", "/a%253bx", "/a%2520b", "/caf%25C3%25A9",
		}},
		{"overlong and invalid UTF-8", fault.AmbiguousPath, []string{
			"/%c0%ae%c0%ae/a", "/%c0%af", "/%e0%80%af", "/%f0%80%80%af", "/%C1%9C", "/caf%E9", "/%ED%A0%80", "/%F5%80%80%80", "/%80", "/%E2%82", "/\xe9", "/%C3\xa9",
		}},
		{"broken encodings", fault.MalformedRequest, []string{"/%", "/%4", "/%zz", "/%u002e", "/a%%32%65", "/%2", "/%7%31"}},
		{"what is no part of a path", fault.MalformedRequest, []string{"/a?b", "/a#b", "/a b", "/a\tb", "/a\x00", "/a\r\n", "/\x7f"}},
		{"paths without a leading slash", fault.MalformedRequest, []string{"admin", "*", "%2Fadmin", "http://a/b", `\admin`}},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			for _, raw := range tt.raws {
				got, err := httpx.NormalizePath(raw)
				if err == nil {
					t.Errorf("NormalizePath(%q) = %+v, want a refusal", raw, got)
					continue
				}
				if f := fault.From(err); f.Code != tt.kind.Code || f.Detail == "" {
					t.Errorf("NormalizePath(%q) is refused as %s %q, want %s with a detail", raw, f.Code, f.Detail, tt.kind.Code)
				}
			}
		})
	}
}

// A front that guards /admin and lets everything else pass must be asked for it
// by that name: whatever a lenient server would take for /admin is refused,
// flagged, or repaired to /admin before anyone matches it.
func TestNoOtherSpellingOfAdminComesThrough(t *testing.T) {
	for _, raw := range []string{
		"/admin", "//admin", "///admin", "/admin/", "/admin//", "/%61dmin", "/%61%64%6d%69%6e", "/%61%64%6D%69%6E", "/adm%69n/",
		"/./admin", "/././admin", "/admin/.", "/admin/./", "/x/../admin", "/x/y/../../admin", "/../admin", "/x/..//admin", "/admin/x/..",
		"/%2e/admin", "/%2E/admin", "/x/%2e%2e/admin", "/x/.%2e/admin", "/x/%2e./admin", "/%2e%2e/admin",
		"/%2fadmin", "/%2Fadmin", "/x%2f..%2fadmin", "/x/..%2fadmin", "/x/..%2Fadmin", "/.%2fadmin", "/x%2f../admin",
		`/\admin`, `/x\..\admin`, `/x/..\admin`, `\admin`, `/.\admin`, "/%5cadmin", "/x/..%5cadmin", "/x%5c..%5cadmin", "/.%5Cadmin",
		"/admin%00", "/admin%00.html", "/%00/admin", "/admin\x00", "/admin%0a", "/admin%0d%0a", "/admin%09", "/admin\n", "/admin ", "/admin\t",
		"/admin;", "/admin;x", "/admin;x=1/", "/;/admin", "/;x/admin", "/x/..;/admin", "/x/..;y=1/admin", "/.;/admin", "/admin%3b", "/admin%3Bx", "/x/..%3b/admin",
		"/%2561dmin", "/%252561dmin", "/%252fadmin", "/%252e/admin", "/x/%252e%252e/admin", "/x/..%252fadmin", "/x/..%255cadmin", "/admin%2500", "/%25%36%31dmin",
		"/%c0%afadmin", "/x/%c0%ae%c0%ae/admin", "/%e0%80%afadmin", "/%c1%a1dmin", "/x/..%c0%afadmin", "/%u0061dmin", "/%u002e/admin",
		"/admin?", "/admin#", "/admin#x", "/x?/../admin", "/x#/../admin", "admin", "%2fadmin", "http://x/admin", "/%", "/admin%", "/%6",
	} {
		path, err := httpx.NormalizePath(raw)
		if err == nil && !path.EncodedSlash && path.Text != "/admin" && path.Text != "/admin/" {
			t.Errorf("%q comes through as %q", raw, path.Text)
		}
	}
	for _, raw := range []string{"/", "/public", "/public/admin", "/administrator", "/admin.html", "/public/a%20b", "/caf%C3%A9", "/a:b@c,d=e", "/.well-known/x"} {
		if path, err := httpx.NormalizePath(raw); err != nil || path.EncodedSlash || path.Text != raw {
			t.Errorf("%q becomes %+v, %v", raw, path, err)
		}
	}
}

func TestNormalizePathOfANormalPathAllocatesNothing(t *testing.T) {
	for _, raw := range []string{"/", "/orders/8a6c/items/42", "/caf%C3%A9/a%20b", "/files/a%2Fb;v=1"} {
		if n := testing.AllocsPerRun(100, func() { _, _ = httpx.NormalizePath(raw) }); n != 0 {
			t.Errorf("NormalizePath(%q) allocates %v times", raw, n)
		}
	}
}

func FuzzNormalizePath(f *testing.F) {
	for _, seed := range []string{
		"/", "/a/b", "//a", "/%61", "/%2e%2e/a", "/a%2fb", "/..;/a", "/%252e", "/%25%32%65", "/caf%c3%a9", "/café", "/a|b", "/%c0%af", "/;", "/a;b/%3b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		path, err := httpx.NormalizePath(raw)
		if err != nil {
			if fault.From(err).Status != 400 {
				t.Fatalf("%q: %v is no 400", raw, err)
			}
			return
		}
		if again, err := httpx.NormalizePath(path.Text); err != nil || again != path {
			t.Fatalf("%q: normal form %+v becomes %+v, %v", raw, path, again, err)
		}
		checkNormal(t, path)
	})
}

// checkNormal holds a path against the promise of its type, in other words than
// the code's: as two servers read it that decode once and twice.
func checkNormal(t *testing.T, path httpx.Path) {
	t.Helper()
	once := httpx.Unescape(path.Text)
	for decoded, times := range map[string]int{path.Text: 0, once: 1, httpx.Unescape(once): 2} {
		if !strings.HasPrefix(decoded, "/") || !utf8.ValidString(decoded) || strings.ContainsFunc(decoded, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("%q decoded %d times is %q", path.Text, times, decoded)
		}
		if !path.EncodedSlash && strings.ContainsAny(decoded, `\;`) {
			t.Fatalf("%q decoded %d times holds a separator that was not flagged", path.Text, times)
		}
		if !path.EncodedSlash && strings.Count(decoded, "/") != strings.Count(path.Text, "/") {
			t.Fatalf("%q decoded %d times has other segments: %q", path.Text, times, decoded)
		}
		for segment := range strings.SplitSeq(strings.ReplaceAll(decoded, `\`, "/"), "/") {
			if name, _, _ := strings.Cut(segment, ";"); name == "." || name == ".." {
				t.Fatalf("%q decoded %d times holds the dot segment %q", path.Text, times, segment)
			}
		}
	}
	if strings.Contains(path.Text, "//") || strings.ContainsAny(path.Text, `?#\`) {
		t.Fatalf("%q is not normal", path.Text)
	}
}

func BenchmarkNormalizePath(b *testing.B) {
	for name, raw := range map[string]string{"normal": "/api/v1/orders/8a6c0d9e/items/42", "rewritten": "/api//v1/orders/%38a6c0d9e/items/42"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = httpx.NormalizePath(raw)
			}
		})
	}
}
