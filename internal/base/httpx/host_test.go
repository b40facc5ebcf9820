package httpx_test

import (
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
)

func TestNormalizeHost(t *testing.T) {
	for authority, want := range map[string]string{
		"":                       "",
		"shop.dev":               "shop.dev",
		"Shop.DEV":               "shop.dev",
		"shop.dev:8080":          "shop.dev",
		"shop.dev:":              "shop.dev",
		"shop.dev.":              "shop.dev",
		"shop.dev.:443":          "shop.dev",
		"localhost":              "localhost",
		"my_service.internal":    "my_service.internal",
		"xn--caf-dma.dev":        "xn--caf-dma.dev",
		"192.0.2.1:80":           "192.0.2.1",
		"[2001:db8::1]":          "2001:db8::1",
		"[2001:DB8:0:0::1]:8443": "2001:db8::1",
		"[::ffff:192.0.2.1]":     "192.0.2.1",
	} {
		if got, err := httpx.NormalizeHost(authority); err != nil || got != want {
			t.Errorf("NormalizeHost(%q) = %q, %v; want %q", authority, got, err, want)
		}
	}
}

func TestNormalizeHostRefuses(t *testing.T) {
	for rule, authorities := range map[string][]string{
		"user information":            {"user@shop.dev", "user:pass@shop.dev", "shop.dev@evil.dev"},
		"delimiters of other parts":   {"shop.dev/", "shop.dev?", "shop.dev#", `shop.dev\`, "http://shop.dev", "shop.dev/admin"},
		"blanks and controls":         {" shop.dev", "shop.dev ", "shop .dev", "shop.dev\t", "shop.dev\x00", "shop.dev\r\n"},
		"lists":                       {"shop.dev,evil.dev", "a.dev, b.dev"},
		"names beyond ASCII":          {"café.dev", "shop\xff.dev"},
		"encodings":                   {"shop%2edev", "%73hop.dev"},
		"wildcards":                   {"*.shop.dev", "{tenant}.shop.dev"},
		"no name":                     {":80", ".", "..", ".:80"},
		"empty and overlong labels":   {"shop..dev", ".shop.dev", "shop.dev..", strings.Repeat("a", 64) + ".dev"},
		"overlong names":              {strings.Repeat("a.", 127) + "dev"},
		"ports":                       {"shop.dev:x", "shop.dev:65536", "shop.dev:-1", "shop.dev:80:80", "shop.dev:000080", "shop.dev: 80"},
		"IPv6 without brackets":       {"2001:db8::1", "::1"},
		"broken brackets":             {"[::1", "[::1]x", "[::1]:x", "[]", "[shop.dev]", "[192.0.2.1]", "::1]", "[::1]80"},
		"zones of somebody's machine": {"[fe80::1%25eth0]", "[fe80::1%eth0]"},
	} {
		for _, authority := range authorities {
			got, err := httpx.NormalizeHost(authority)
			if err == nil {
				t.Errorf("%s: NormalizeHost(%q) = %q, want a refusal", rule, authority, got)
			} else if f := fault.From(err); f.Code != fault.MalformedRequest.Code || f.Detail == "" {
				t.Errorf("%s: NormalizeHost(%q) is refused as %v", rule, authority, err)
			}
		}
	}
}

func TestNormalizeHostOfALowerCaseNameAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _, _ = httpx.NormalizeHost("api.shop.dev:8080") }); n != 0 {
		t.Errorf("NormalizeHost allocates %v times", n)
	}
}

func FuzzNormalizeHost(f *testing.F) {
	for _, seed := range []string{"shop.dev:80", "[::1]:80", "Shop.dev.", "a@b", ":", "[", "1.2.3.4"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, authority string) {
		host, err := httpx.NormalizeHost(authority)
		if err != nil || host == "" {
			return
		}
		if strings.ContainsAny(host, "@/?#\\[]%, \t\r\n\x00*{}") || host != strings.ToLower(host) {
			t.Fatalf("%q gives %q", authority, host)
		}
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		if again, err := httpx.NormalizeHost(host); err != nil || strings.Trim(host, "[]") != again {
			t.Fatalf("%q gives %q, then %q, %v", authority, host, again, err)
		}
	})
}
