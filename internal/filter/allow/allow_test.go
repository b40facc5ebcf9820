package allow_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/filter/allow"
)

func decode(tb testing.TB, text string) (*allow.Config, []doc.Problem) {
	tb.Helper()
	var ps doc.Problems
	c, ok := allow.Definition().New().(*allow.Config)
	if !ok {
		tb.Fatal("New gives no *Config")
	}
	doc.Decode(doc.Parse("test.yaml", []byte("allow: "+text), &ps).Get("allow"), c, &ps)
	return c, ps.Sorted()
}

// policy builds a filter that logs into log.
func policy(tb testing.TB, text string, log *bytes.Buffer) filter.Policy {
	tb.Helper()
	c, problems := decode(tb, text)
	if len(problems) > 0 {
		tb.Fatal(problems)
	}
	level := &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	p, err := allow.Definition().Build(filter.Env{Route: "GET /", Log: slog.New(slog.NewTextHandler(log, level))}, c)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func ada() *exchange.Identity {
	return &exchange.Identity{Issuer: "https://id", Subject: "ada", Scopes: []string{"orders:read"}, Claims: exchange.ClaimsOf(map[string]any{"plan": "gold"})}
}

// send asks the guard and then runs a request through it.
func send(tb testing.TB, p filter.Policy, who *exchange.Identity, target string) (*exchange.Exchange, *httptest.ResponseRecorder, filter.Verdict) {
	tb.Helper()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	rec := httptest.NewRecorder()
	x := &exchange.Exchange{ID: "id", Path: r.URL.Path, Query: r.URL.RawQuery, Identity: who}
	x.Params.Add("user", "ada")
	w, r := exchange.Begin(rec, r, x)
	verdict := p.Ask(r)
	p.Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })).ServeHTTP(w, r)
	w.Finish(nil)
	return x, rec, verdict
}

func TestOnlyWhatAllRulesAllowPasses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config string
		who    *exchange.Identity
		target string
		status int
	}{
		{`=path.user == auth.sub`, ada(), "/", 204},
		{`=path.user == auth.sub`, &exchange.Identity{Subject: "bob"}, "/", 403},
		{`=path.user == auth.sub`, nil, "/", 401},
		{`=auth.has('orders:read')`, ada(), "/", 204},
		{`=auth.has('orders')`, ada(), "/", 403},
		{`=request.method == 'POST'`, nil, "/", 403},
		{`["=request.method == 'GET'", "=query.a == '1'"]`, nil, "/?a=1", 204},
		{`["=request.method == 'GET'", "=query.a == '1'"]`, nil, "/?a=2", 403},
		{`["=query.a == '1'", "=request.method == 'GET'"]`, nil, "/?a=2", 403},
		{`"=auth.sub == 'x' || query.a == '1'"`, nil, "/?a=1", 204},
		// What cannot be decided is denied.
		{`=auth.claims.role == 'admin'`, ada(), "/", 403},
		{`=auth.claims.role == 'admin'`, nil, "/", 401},
		{`=auth.claims.plan`, ada(), "/", 403},
		{`=cidr('10.0.0.0/8').contains(query.a)`, nil, "/?a=x", 403},
		// What the client did wrong is told as that.
		{`=query.a == ''`, nil, "/?a;b", 400},
		// A dry run lets pass.
		{`{ rule: =false, dry_run: true }`, nil, "/", 204},
		{`[{ rule: =auth.claims.role == 'x', dry_run: true }, =true]`, nil, "/", 204},
		{`[{ rule: =false, dry_run: true }, =false]`, nil, "/", 403},
	} {
		var log bytes.Buffer
		x, rec, verdict := send(t, policy(t, c.config, &log), c.who, c.target)
		if rec.Code != c.status {
			t.Errorf("%s as %v: %d, want %d", c.config, c.who, rec.Code, c.status)
		}
		if asked := verdict.Fault; (asked == nil) != (c.status == 204) || asked != nil && asked.Status != x.Fault.Status {
			t.Errorf("%s as %v: explain says %v, the guard %v", c.config, c.who, asked, x.Fault)
		}
	}
}

func TestTheClientIsNotToldWhichRuleItWas(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	_, rec, verdict := send(t, policy(t, `{ rule: "=request.headers['x-key'] == 'swordfish'", name: keys }`, &log), nil, "/")
	for _, secret := range []string{"swordfish", "x-key", "keys"} {
		if strings.Contains(rec.Body.String(), secret) {
			t.Errorf("the answer tells %q: %s", secret, rec.Body)
		}
	}
	if strings.Contains(log.String(), "swordfish") || strings.Contains(verdict.Why, "swordfish") {
		t.Errorf("a secret in the log or the verdict: %s %s", log.String(), verdict.Why)
	}
	if verdict.Why != "keys is false" {
		t.Errorf("the verdict is %q", verdict.Why)
	}
}

func TestEveryDecisionIsLogged(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]string{
		`=true`:  "level=DEBUG msg=allow decision=allow rule=test.yaml:1:9 route=\"GET /\" request_id=id\n",
		`=false`: "level=INFO msg=allow decision=deny rule=test.yaml:1:9 route=\"GET /\" request_id=id reason=\"test.yaml:1:9 is false\"\n",
		`{ rule: =false, name: never, dry_run: true }`: "level=INFO msg=allow decision=deny rule=never route=\"GET /\" request_id=id dry_run=true reason=\"never is false\"\n",
		`{ rule: =auth.claims.a == 1, name: a }`:       "level=INFO msg=allow decision=deny rule=a route=\"GET /\" request_id=id reason=\"a cannot be decided: no such key: a\"\n",
	} {
		var log bytes.Buffer
		send(t, policy(t, config, &log), ada(), "/")
		if log.String() != want {
			t.Errorf("%s: logged\n%swant\n%s", config, log.String(), want)
		}
	}
}

func TestMistakesAreTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`[]`:                            `allow has no condition`,
		`admin`:                         `"admin" is no condition`,
		`[admin]`:                       `"admin" is no condition`,
		`=`:                             `the expression is empty`,
		`{ name: x }`:                   `"rule" is missing`,
		`{ rule: =true, dryrun: true }`: `did you mean "dry_run"?`,
		`[[=true]]`:                     `the expression is a list`,
	} {
		_, problems := decode(t, text)
		if len(problems) == 0 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}

// TestConditionsAreCheckedWithTheirRoute holds what is told before anything is served.
func TestConditionsAreCheckedWithTheirRoute(t *testing.T) {
	t.Parallel()
	auth := config.Kind{Name: "auth", Order: int(filter.StageAuth), Identifies: true, New: func() any { return new(string) }}
	vocabulary := config.Vocabulary{Filters: []config.Kind{allow.Definition().Kind(), auth}}
	for text, want := range map[string]string{
		`allow: =auth.has('a')`:                                   `test.yaml:4:13: allow reads who is calling, but the route "GET /{id}" authenticates nobody`,
		"allow: =auth.has('a')\n    auth: customer":               ``,
		`allow: =path.ib == '1'`:                                  `test.yaml:4:13: path.ib is never there; the route "GET /{id}" captures {id}; did you mean "id"?`,
		`allow: =path.id`:                                         `test.yaml:4:17: allow: must be true or false, this is a string`,
		`allow: "=clint.ip == ''"`:                                `test.yaml:4:14: allow: 'clint' is not a known name; did you mean 'client'?`,
		`allow: =request.body.a == 1`:                             `test.yaml:4:13: allow reads the body of the request`,
		"allow:\n      - =true\n      - { rule: =path.x == '1' }": `test.yaml:6:18: path.x is never there`,
	} {
		file := "listen: :8080\nroutes:\n  GET /{id}:\n    " + text + "\n    respond: 204\n"
		vocabulary := vocabulary
		vocabulary.Filters = append(vocabulary.Filters[:2:2], config.Kind{Name: "respond", Order: int(filter.StageRespond), New: func() any { return new(string) }})
		problems := config.Load([]config.Source{{Path: "test.yaml", Data: []byte(file)}}, vocabulary).Problems
		got := ""
		if len(problems) > 0 {
			got = problems[0].String()
		}
		if len(problems) > 1 || !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}

func BenchmarkGuard(b *testing.B) {
	for _, config := range []string{`=auth.has('orders:read')`, `=path.user == auth.sub`} {
		b.Run(config, func(b *testing.B) {
			c, _ := decode(b, config)
			p, err := allow.Definition().Build(filter.Env{Log: slog.New(slog.DiscardHandler)}, c)
			if err != nil {
				b.Fatal(err)
			}
			h := p.Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			x := &exchange.Exchange{Identity: ada()}
			x.Params.Add("user", "ada")
			w, r := exchange.Begin(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), x)
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
}
