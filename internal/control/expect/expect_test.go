package expect_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	auths "github.com/weir-gateway/weir/internal/auth/all"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/control/compile"
	"github.com/weir-gateway/weir/internal/control/expect"
	discoveries "github.com/weir-gateway/weir/internal/discovery/all"
	filters "github.com/weir-gateway/weir/internal/filter/all"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// compiled reads a config and compiles it without starting anything.
func compiled(t *testing.T, text string) (*config.Config, *snapshot.Snapshot) {
	t.Helper()
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "public"), 0o755); err != nil {
		t.Fatal(err)
	}
	parts := compile.Parts{Filters: filters.Definitions(), Providers: discoveries.Definitions(), Auths: auths.Definitions()}
	r := config.Load([]config.Source{{Path: filepath.Join(folder, "weir.yaml"), Data: []byte(text)}}, parts.Vocabulary())
	if r.Config == nil {
		t.Fatalf("%v\n%s", r.Problems, text)
	}
	s, problems := compile.Check(parts, r.Config, "digest")
	if len(problems) > 0 {
		t.Fatalf("%v\n%s", problems, text)
	}
	return r.Config, s
}

const shop = `listen:
  web: :8080
  inner: { address: :8081, hostname: inner.dev }
auth:
  key: { keys: { ada: "${env:KEY}" } }
routes:
  GET /orders/{id}:
    listeners: web
    to: http://orders:80
  POST /orders:
    listeners: web
    auth: key
    allow: =auth.sub == 'ada'
    to: http://orders:80
  GET /old/**: { listeners: web, to: "redirect:/orders" }
  GET /hello: { listeners: web, to: "respond:hello" }
  GET /gone: { listeners: web, to: "respond:410" }
  GET /page:
    listeners: web
    cors: { origins: [https://shop.dev] }
    to: dir:./public
  GET /canary:
    listeners: web
    to: [{ share: 5%, use: "http://next:80" }, http://now:80]
  GET /beta:
    listeners: web
    to: [{ when: "=request.headers['x-beta'] == '1'", use: "http://beta:80" }, http://now:80]
  GET /mine:
    listeners: web
    ip: 192.0.2.0/24
    to: http://mine:80
  POST /small:
    listeners: web
    body: 8B
    to: http://small:80
  GET /inner: { listeners: inner, to: "http://inner:80" }
tests:
`

// Each row is a test with what it says when it fails, "" where it holds.
func TestTestsHoldOrSayWhatTheyFound(t *testing.T) {
	for _, c := range []struct{ test, want string }{
		{"request: GET /orders/7\nroute: GET /orders/{id}\nbackend: http://orders:80\nstatus: 200", ""},
		{"request: GET shop.dev/orders/7\nroute: GET /hello", "the route is GET /orders/{id}, not GET /hello"},
		{"request: GET /nothing\nroute: none\nbackend: none\nstatus: 404", ""},
		{"request: GET /nothing\nroute: GET /hello", "the route is none, not GET /hello"},
		{"request: GET /nothing\nstatus: 200", "the status is 404 route-not-found, not 200"},
		{"request: DELETE /hello\nstatus: 405", ""},
		{"request: GET /%2e%2e/b\nstatus: 400", ""},
		{"request: POST /orders\nstatus: 401", ""},
		{"request: { line: POST /orders, as: ada }\nstatus: 200\nbackend: http://orders:80", ""},
		{"request: { line: POST /orders, as: bob }\nstatus: 403\nbackend: none", ""},
		{"request: { line: POST /orders, as: '{\"sub\": \"bob\"}' }\nbackend: http://orders:80", "the backend is none, not http://orders:80"},
		{"request: GET /old/x\nstatus: 302\nbackend: none", ""},
		{"request: GET /hello\nstatus: 200\nbackend: none", ""},
		{"request: GET /gone\nstatus: 200", "the status is 410, not 200"},
		{"request: { line: OPTIONS /page, headers: { origin: https://shop.dev, access-control-request-method: GET } }\nroute: GET /page\nstatus: 204\nbackend: none", ""},
		{"request: GET /page\nbackend: dir:./public", ""},
		{"request: GET /canary\nbackend: http://next:80", ""},
		{"request: GET /canary\nbackend: http://now:80\nstatus: 200", ""},
		{"request: GET /canary\nbackend: http://other:80", "the backend is http://next:80 or http://now:80, not http://other:80"},
		{"request: { line: GET /beta, headers: { x-beta: '1' } }\nbackend: http://beta:80", ""},
		{"request: GET /beta\nbackend: http://beta:80", "the backend is http://now:80, not http://beta:80"},
		{"request: { line: GET /mine, client: 192.0.2.7 }\nstatus: 200", ""},
		{"request: GET /mine\nstatus: 200", "the status is 403 forbidden, not 200"},
		{"request: { line: POST /small, body: '12345678' }\nstatus: 200", ""},
		{"request: { line: POST /small, body: '123456789' }\nstatus: 413", ""},
		{"request: { line: GET /inner, listener: inner }\nroute: GET /inner", ""},
		{"request: { line: GET other.dev/inner, listener: inner }\nroute: none", `it comes in by the listener "", not by "inner"`},
		{"request: GET /inner\nroute: GET /inner\nstatus: 404", "the route is none, not GET /inner"},
	} {
		text := shop
		for i, line := range strings.Split(c.test, "\n") {
			text += map[bool]string{true: "  - ", false: "    "}[i == 0] + line + "\n"
		}
		cfg, s := compiled(t, text)
		results := expect.Run(s, cfg.Tests)
		got := strings.Join(results[0].Failures, "; ")
		if len(results) != 1 || (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s\ngot  %q\nwant %q", c.test, got, c.want)
		}
		problems := expect.Problems(results)
		if (len(problems) > 0) != (c.want != "") || c.want != "" && (problems[0].Pos.Line != strings.Count(shop, "\n")+1 || !strings.Contains(problems[0].String(), expect.Name(cfg.Tests[0]))) {
			t.Errorf("%s\nproblems: %v", c.test, problems)
		}
	}
}

// What is recorded holds, is found again, and says why where there is nothing to say.
func TestRecordWritesWhatHolds(t *testing.T) {
	cfg, s := compiled(t, strings.TrimSuffix(shop, "tests:\n")+`  GET *.shop.dev/wild: { listeners: web, to: "http://wild:80" }
  GET {tenant}.shop.dev/label: { listeners: web, to: "http://label:80" }
  GET /typed:
    listeners: web
    match:
      headers: { x-version: { regex: "v[0-9]+(-beta)?" } }
      query: { page: "2" }
      cookies: { lang: de }
    to: http://typed:80
  GET /orders/1: { listeners: web, to: "http://first:80" }
  GET /orders/{id}.json: { listeners: web, to: "http://json:80" }
  GET /secret:
    listeners: web
    match: { when: "=request.headers['x'] == 'y'" }
    to: http://secret:80
  PUT,PATCH /both: { listeners: web, to: "http://both:80" }
`)
	tests, missed := expect.Record(s, cfg, nil)
	var names []string
	for _, test := range tests {
		names = append(names, expect.Name(test))
	}
	want := []string{
		"GET /orders/a", "POST /orders", "GET /old/1", "GET /hello", "GET /gone", "GET /page", "GET /canary", "GET /beta", "GET /mine", "POST /small", "GET /inner",
		"GET a.shop.dev/wild", "GET a.shop.dev/label", "GET /typed?page=2", "GET /orders/1", "GET /orders/1.json", "PUT /both", "PATCH /both",
	}
	if !slices.Equal(names, want) || !slices.Equal(missed, []string{"GET /secret"}) {
		t.Errorf("recorded %q, missed %q", names, missed)
	}
	for _, r := range expect.Run(s, tests) {
		if len(r.Failures) > 0 {
			t.Errorf("%s does not hold: %v", expect.Name(r.Test), r.Failures)
		}
	}
	if again, _ := expect.Record(s, cfg, tests); len(again) > 0 {
		t.Errorf("recorded again: %v", again)
	}
	if same, _ := expect.Record(s, cfg, nil); fmt.Sprint(same) != fmt.Sprint(tests) {
		t.Error("a second recording differs")
	}
	for _, test := range tests {
		if test.Route == "GET /canary" && test.Backend != "" || test.Route == "POST /orders" && (test.Status != 401 || test.Backend != "") {
			t.Errorf("recorded %+v", test)
		}
	}
}
