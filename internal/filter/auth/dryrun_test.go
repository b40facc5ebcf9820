package auth_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/filter/allow"
	"github.com/weir-gateway/weir/internal/filter/auth"
	"github.com/weir-gateway/weir/internal/filter/limit"
	"github.com/weir-gateway/weir/internal/filter/respond"
)

// TestADryRunLetsPassAsNobody holds that whoever would be refused passes, and that neither a
// later guard nor the backend is told anything of who it said it was.
func TestADryRunLetsPassAsNobody(t *testing.T) {
	for name, c := range map[string]struct {
		who   string
		lines []string
		as    string // the subject, "" for nobody
		gone  []string
		why   string // of the decision, "" for one that lets pass
	}{
		"known":                      {"jwt", []string{"X-Jwt: ok"}, "jwt-sub", []string{"X-Jwt"}, ""},
		"nothing shown":              {"jwt", nil, "", nil, "there is no credential"},
		"a wrong credential":         {"jwt", []string{"X-Jwt: bad"}, "", []string{"X-Jwt"}, "jwt: the secret reason is wrong"},
		"one that is kept elsewhere": {"kept", []string{"X-Kept: bad"}, "", []string{"X-Kept"}, "kept: the secret reason is wrong"},
		"nobody can tell":            {"kept", []string{"X-Kept: down"}, "", []string{"X-Kept"}, "no keys"},
		"one of two":                 {"jwt & kept", []string{"X-Kept: ok"}, "", []string{"X-Kept"}, "one credential of several is missing"},
		"wrong beside anonymous":     {"jwt | anonymous", []string{"X-Jwt: bad"}, "", []string{"X-Jwt"}, "jwt: the secret reason is wrong"},
		"anonymous":                  {"jwt | anonymous", nil, "", nil, ""},
		"a bad one of an unasked":    {"jwt | kept", []string{"X-Jwt: ok", "X-Kept: bad"}, "jwt-sub", []string{"X-Jwt", "X-Kept"}, ""},
		"known, and cannot be told":  {"untold", []string{"X-Untold: ok"}, "", []string{"X-Untold", "X-First", "X-Second"}, "forward.headers: X-Second cannot be told"},
		"the gateway's own field":    {"mint", []string{"X-Mint: bad", "Authorization: Bearer forged"}, "", []string{"X-Mint", "Authorization"}, "mint: the secret reason is wrong"},
	} {
		var log bytes.Buffer
		p := buildLogged(t, `{ who: "`+c.who+`", dry_run: true }`, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
		a := send(t, p, c.lines...)
		switch {
		case a.status != http.StatusOK || a.fault != nil || a.passed == nil:
			t.Errorf("%s: %d, %v", name, a.status, a.fault)
		case c.as == "" && a.caller != nil, c.as != "" && (a.caller == nil || a.caller.Subject != c.as):
			t.Errorf("%s: the caller is %+v", name, a.caller)
		case slices.ContainsFunc(c.gone, func(field string) bool { return a.passed[field] != nil }):
			t.Errorf("%s: the backend gets %v", name, a.passed)
		case (a.passed.Get("X-User") == "jwt-sub") != (c.as == "jwt-sub"):
			t.Errorf("%s: the backend is told of %q", name, a.passed.Get("X-User"))
		}
		want := "level=DEBUG msg=auth decision=allow route=\"GET /\" request_id=id dry_run=true\n"
		if c.why != "" {
			want = "level=INFO msg=auth decision=deny route=\"GET /\" request_id=id dry_run=true reason="
		}
		if _, line, _ := strings.Cut(log.String(), " "); !strings.HasPrefix(line, want) || !strings.Contains(line, c.why) || strings.Count(line, "\n") != 1 {
			t.Errorf("%s: the log says\n%swant %s%s", name, line, want, c.why)
		}
	}
}

// TestADryRunLeavesResponsesAlone holds that a browser is not asked for a password because of one.
func TestADryRunLeavesResponsesAlone(t *testing.T) {
	p := build(t, `{ who: kept, dry_run: true }`)
	a := sendTo(t, p, func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) })
	if a.status != http.StatusUnauthorized || a.header["Www-Authenticate"] != nil {
		t.Errorf("%d, %v", a.status, a.header)
	}
}

func TestADryRunIsExplained(t *testing.T) {
	p := build(t, `{ who: jwt, dry_run: true }`)
	if p.Note != "jwt (fake), or as a dry run anybody" {
		t.Error(p.Note)
	}
	for line, want := range map[string]string{
		"X-Other: 1":  "nobody is calling; assume a caller; a dry run, so it passes without an identity",
		"X-Jwt: what": "credentials are not checked here; assume a caller; a dry run, so it passes without an identity",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
		if v := p.Ask(exchange.With(r, &exchange.Exchange{})); v.Fault != nil || v.Why != want {
			t.Errorf("%s: %+v", line, v)
		}
	}
}

// TestADryRunIsWrittenOnItsRoute holds what is told of one with the config: that it opens a route, and
// what would make it open more than is meant.
func TestADryRunIsWrittenOnItsRoute(t *testing.T) {
	vocabulary := config.Vocabulary{
		Auths: []config.Kind{{Name: "keys", New: func() any {
			return &struct {
				Keys string `doc:"keys"`
			}{}
		}}},
	}
	for _, d := range []filter.Definition{auth.Definition(), allow.Definition(), limit.Definition(), respond.Definition()} {
		vocabulary.Filters = append(vocabulary.Filters, d.Kind())
	}
	const warned = `test.yaml:9:5: warning: the route "GET /" lets everybody pass; its auth is a dry run, which logs the callers it would have refused; remove dry_run when the log shows what you expect`
	for name, c := range map[string]struct {
		defaults, route string
		want            []string
	}{
		"on a route":         {"", "auth: { who: a, dry_run: true }", []string{warned}},
		"not a dry run":      {"", "auth: { who: a, dry_run: false }", nil},
		"beside a path":      {"", "auth: { who: a, dry_run: true }\n    allow: =request.path != '/x'", []string{warned}},
		"with a tried rule":  {"", "auth: { who: a, dry_run: true }\n    allow: { rule: =auth.has('x'), dry_run: true }", []string{warned}},
		"with a rule":        {"", "auth: { who: a, dry_run: true }\n    allow: \"=auth.sub != 'eve'\"", []string{warned, `test.yaml:10:14: allow asks who is calling, and auth of the route "GET /" is a dry run`}},
		"one rule of two":    {"", "auth: { who: a, dry_run: true }\n    allow: [{ rule: =auth.has('x'), dry_run: true }, =auth.has('y')]", []string{warned, `test.yaml:10:55: allow asks who is calling`}},
		"with a limit":       {"", "auth: { who: a, dry_run: true }\n    limit: { rate: 1/s, per: =auth.id }", []string{warned, `test.yaml:10:31: warning: per is empty for callers who are anonymous`}},
		"for all routes":     {"{ who: a, dry_run: true }", "respond: 204", []string{`test.yaml:6:3: auth is a dry run for every route that inherits it`, ""}},
		"a rule of defaults": {"a", "auth: { who: a, dry_run: true }", []string{warned}},
	} {
		if c.defaults == "" {
			c.defaults = "none"
		}
		if !strings.Contains(c.route, "respond") {
			c.route += "\n    respond: 204"
		}
		file := "listen: :8080\nauth:\n  a:\n    keys: x\ndefaults:\n  auth: " + c.defaults + "\nroutes:\n  GET /:\n    " + c.route + "\n"
		var got []string
		for _, p := range config.Load([]config.Source{{Path: "test.yaml", Data: []byte(file)}}, vocabulary).Problems {
			got = append(got, p.String())
		}
		if len(got) != len(c.want) || !slices.EqualFunc(got, c.want, strings.HasPrefix) {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}
