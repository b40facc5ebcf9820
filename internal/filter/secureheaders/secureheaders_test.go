package secureheaders_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/filter/secureheaders"
)

func decode(tb testing.TB, text string) (*secureheaders.Config, []doc.Problem) {
	tb.Helper()
	var ps doc.Problems
	c, ok := secureheaders.Definition().New().(*secureheaders.Config)
	if !ok {
		tb.Fatal("New gives no *Config")
	}
	doc.Decode(doc.Parse("test.yaml", []byte("secure_headers: "+text), &ps).Get("secure_headers"), c, &ps)
	return c, ps.Sorted()
}

// fields gives a response's fields in order, one a line, but for those of problems.
func fields(t *testing.T, config, scheme string, answer http.HandlerFunc) string {
	t.Helper()
	c, problems := decode(t, config)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	p, err := secureheaders.Definition().Build(filter.Env{}, c)
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	w, r := exchange.Begin(rec, httptest.NewRequest(http.MethodGet, "/", nil), &exchange.Exchange{Client: exchange.Client{Scheme: scheme}})
	p.Guard(answer).ServeHTTP(w, r)
	w.Finish(nil)
	var lines []string
	for name, values := range rec.Result().Header {
		if !strings.HasPrefix(name, "Content-L") && !strings.HasPrefix(name, "Content-T") && name != "Cache-Control" {
			lines = append(lines, fmt.Sprintf("%s: %s", name, strings.Join(values, ", ")))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestResponsesHaveTheFields(t *testing.T) {
	t.Parallel()
	plain := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
	refused := func(w http.ResponseWriter, _ *http.Request) { exchange.Fail(w, fault.Forbidden.New("")) }
	own := func(w http.ResponseWriter, r *http.Request) {
		head := exchange.WriterOf(w).Head()
		head.Set("X-Frame-Options", "DENY")
		head.Set("Server", "Apache/1.3")
		head.Set("X-Powered-By", "PHP/4")
		plain(w, r)
	}
	const usual = "Referrer-Policy: strict-origin-when-cross-origin\n%sX-Content-Type-Options: nosniff\nX-Frame-Options: SAMEORIGIN"
	const year = "Strict-Transport-Security: max-age=31536000\n"
	for _, c := range []struct {
		name, config, scheme string
		answer               http.HandlerFunc
		want                 string
	}{
		{"usual", `true`, "https", plain, fmt.Sprintf(usual, year)},
		{"a problem", `true`, "https", refused, fmt.Sprintf(usual, year)},
		{"plain HTTP", `true`, "http", plain, fmt.Sprintf(usual, "")},
		{"a backend's own", `true`, "http", own, strings.Replace(fmt.Sprintf(usual, ""), "SAMEORIGIN", "DENY", 1)},
		{"nothing hidden", `{ hide: none }`, "http", own, "Referrer-Policy: strict-origin-when-cross-origin\nServer: Apache/1.3\nX-Content-Type-Options: nosniff\nX-Frame-Options: DENY\nX-Powered-By: PHP/4"},
		{"nothing", `{ hsts: none, frame: none, referrer: none, hide: none }`, "https", plain, "X-Content-Type-Options: nosniff"},
		{
			"everything", `{ hsts: 1h, subdomains: true, frame: deny, referrer: no-referrer, content: "default-src 'self'", permissions: "camera=()", opener: same-origin }`, "https", plain,
			"Content-Security-Policy: default-src 'self'\nCross-Origin-Opener-Policy: same-origin\nPermissions-Policy: camera=()\nReferrer-Policy: no-referrer\n" +
				"Strict-Transport-Security: max-age=3600; includeSubDomains\nX-Content-Type-Options: nosniff\nX-Frame-Options: DENY",
		},
	} {
		if got := fields(t, c.config, c.scheme, c.answer); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func TestMistakesAreTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`yes`:                       `secure_headers is the value "yes"; it must be true or a map`,
		`[hsts]`:                    `secure_headers is a list`,
		`{ hsts: 1ms }`:             `hsts is 1ms, less than a second`,
		`{ hsts: 365 }`:             `a duration needs a unit`,
		`{ frame: sameorigin }`:     `frame is "sameorigin"; it is deny, same-origin or none`,
		`{ content: "a\nb" }`:       `the value of Content-Security-Policy begins or ends with a blank, or holds a control character`,
		`{ hide: Content-Type }`:    `Content-Type cannot be hidden here`,
		`{ hide: [Server, "X Y"] }`: `"X Y" is not the name of a field`,
		`{ csp: x }`:                `unknown key "csp"`,
	} {
		_, problems := decode(t, text)
		if len(problems) == 0 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}
