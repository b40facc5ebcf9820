package kubernetes

import (
	"slices"
	"strings"
	"testing"
)

func TestReferences(t *testing.T) {
	for rest, want := range map[string]string{
		"shop/users:http":     "shop/users http",
		"shop/users":          "shop/users ",
		"shop/users:8080":     "shop/users 8080",
		"users":               "the namespace is missing",
		"users:http":          "the namespace is missing",
		"//shop/users":        "no slashes",
		"Shop/users":          `"Shop" cannot be the name of a namespace`,
		"shop/users.x":        `"users.x" cannot be the name of a Service`,
		"shop/-users":         `"-users" cannot be`,
		"shop/":               `"" cannot be the name of a Service`,
		"shop/users:":         `"" is neither the name`,
		"shop/users:0":        `"0" is neither the name`,
		"shop/users:http:80":  `"http:80" is neither the name`,
		"shop/users/x":        `"users/x" cannot be`,
		"shop/users:65536":    `shop/users 65536`, // digits alone may be a name
		"shop/" + long(63):    "shop/" + long(63) + " ",
		"shop/" + long(64):    "cannot be the name of a Service",
		"shop/users:http-alt": "shop/users http-alt",
	} {
		ref, err := readRef(rest)
		got := ref.String() + " " + ref.port
		if err != nil {
			got = err.Error()
		}
		if err == nil && got != want || err != nil && !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", rest, got, want)
		}
	}
}

func long(n int) string { return strings.Repeat("a", n) }

// TestHostsThatMayBeServices shows for which URLs the API server is asked, by a pod of the namespace home.
func TestHostsThatMayBeServices(t *testing.T) {
	for rest, want := range map[string]string{
		"//users:8080":                        "home/users 8080",
		"//users":                             "home/users 80",
		"//Users:8080":                        "home/users 8080",
		"//users.home:8080":                   "home/users 8080",
		"//users.shop:8080":                   "shop/users 8080", // it is named under namespaces
		"//users.elsewhere:8080":              "",                // may be a name of the world
		"//example.com":                       "",
		"//users.shop.svc:8080":               "shop/users 8080",
		"//users.other.svc.cluster.local":     "other/users 80",
		"//a.users.shop.svc.cluster.local:80": "", // one pod of it
		"//users.shop.svc.cluster.local.":     "shop/users 80",
		"//10.0.0.1:8080":                     "",
		"//[::1]:8080":                        "",
		"//[::1]":                             "",
		"//localhost:8080":                    "",
		"//_http._tcp.svc:80":                 "",
	} {
		ref, ok := readHost(rest, 80, "home", func(n string) bool { return slices.Contains([]string{"shop"}, n) })
		got := ""
		if ok {
			got = ref.String() + " " + ref.port
		}
		if got != want {
			t.Errorf("%s: %q, want %q", rest, got, want)
		}
	}
}

func FuzzReferences(f *testing.F) {
	f.Add("shop/users:http")
	f.Add("//users.shop.svc:8080")
	f.Fuzz(func(t *testing.T, rest string) {
		if ref, err := readRef(rest); err == nil {
			text := ref.String()
			if ref.port != "" {
				text += ":" + ref.port
			}
			if text != rest {
				t.Errorf("%q is read as %q", rest, text)
			}
		}
		if ref, ok := readHost(rest, 80, "home", func(string) bool { return true }); ok && (!isLabel(ref.name) || !isLabel(ref.namespace) || !isPort(ref.port)) {
			t.Errorf("%q is read as %+v", rest, ref)
		}
	})
}
