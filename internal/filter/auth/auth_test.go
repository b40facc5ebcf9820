package auth_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	ways "github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/filter/auth"
)

// fake recognises by a header of its own: "ok" passes, "bad" does not count, "down"
// cannot be told, "nobody" breaks the contract.
func fake(name, scheme string, forward ways.Forward) ways.Way {
	place := ways.Place{Kind: ways.InHeader, Name: "X-" + strings.ToUpper(name[:1]) + name[1:]}
	w := ways.Way{
		Name: name, Scheme: scheme, Places: []ways.Place{place}, Note: "fake", Common: ways.Common{Forward: forward},
		Recognise: func(r *http.Request) (*exchange.Identity, error) {
			switch value, err := ways.Find(r, []ways.Place{place}); {
			case err != nil:
				return nil, err
			case value == "ok":
				return &exchange.Identity{Method: name, Subject: name + "-sub"}, nil
			case value == "down":
				return nil, fault.AuthUnavailable.New("", fault.Internal("no keys"))
			case value == "broken":
				return nil, errors.New("unheard of")
			case value == "nobody":
				return nil, nil
			default:
				return nil, ways.Refuse("the secret %s is wrong", "reason")
			}
		},
	}
	keep := func(_ string, makeIt func() (any, func(context.Context), error)) (any, error) {
		v, _, err := makeIt()
		return v, err
	}
	if err := w.Prepare(ways.Env{Keep: keep}); err != nil {
		panic(err)
	}
	return w
}

func build(t *testing.T, rule string) filter.Policy {
	t.Helper()
	return buildLogged(t, rule, nil)
}

func buildLogged(t *testing.T, rule string, log *slog.Logger) filter.Policy {
	t.Helper()
	var ps doc.Problems
	c := auth.Definition().New()
	doc.Decode(doc.Parse("weir.yaml", []byte(rule), &ps), c, &ps)
	if ps.Failed() {
		t.Fatal(ps.Sorted())
	}
	told := ways.Forward{Headers: []ways.Field{{Name: "X-User", Expr: config.Expr{Source: "auth.sub"}}}}
	untold := ways.Forward{Headers: []ways.Field{{Name: "X-First", Expr: config.Expr{Source: "auth.sub"}}, {Name: "X-Second", Expr: config.Expr{Source: "auth.claims.missing"}}}}
	known := map[string]ways.Way{
		"jwt": fake("jwt", "Bearer", told), "key": fake("key", "ApiKey", ways.Forward{}), "kept": fake("kept", "Basic", ways.Forward{Token: true}),
		"untold": fake("untold", "ApiKey", untold),
		"mint":   fake("mint", "ApiKey", ways.Forward{JWT: &ways.Mint{Field: ways.Authorization, Issuer: "weir", Lifetime: time.Minute}}),
	}
	p, err := auth.Definition().Build(filter.Env{Log: log, Route: "GET /", Auth: func(name string) (ways.Way, error) {
		if w, ok := known[name]; ok {
			return w, nil
		}
		return ways.Way{}, errors.New("there is no auth " + name)
	}}, c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// answer is what came of a request.
type answer struct {
	status int
	fault  *fault.Fault
	header http.Header
	passed http.Header // the head behind the guard, nil where it was not reached
	caller *exchange.Identity
}

func send(t *testing.T, p filter.Policy, lines ...string) answer {
	t.Helper()
	return sendTo(t, p, func(http.ResponseWriter) {}, lines...)
}

// sendTo sends a request to a route that answers what passes the guard.
func sendTo(t *testing.T, p filter.Policy, route func(http.ResponseWriter), lines ...string) answer {
	t.Helper()
	var a answer
	handler := p.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.passed, a.caller = r.Header.Clone(), exchange.Of(r).Identity
		route(w)
	}))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		r.Header[name] = append(r.Header[name], value)
	}
	x := &exchange.Exchange{ID: "id"}
	recorder := httptest.NewRecorder()
	w, r := exchange.Begin(recorder, r, x)
	handler.ServeHTTP(w, r)
	w.Finish(nil)
	a.status, a.fault, a.header = recorder.Code, x.Fault, recorder.Header()
	return a
}

func TestWhoPasses(t *testing.T) {
	for name, c := range map[string]struct {
		rule  string
		lines []string
		want  string // who is calling, "anonymous", or the code of the problem
	}{
		"known":                                {"jwt", []string{"X-Jwt: ok"}, "jwt-sub"},
		"unknown":                              {"jwt", nil, "unauthorized"},
		"wrong":                                {"jwt", []string{"X-Jwt: bad"}, "unauthorized"},
		"nobody can tell":                      {"jwt", []string{"X-Jwt: down"}, "auth-unavailable"},
		"an error that nobody thought of":      {"jwt", []string{"X-Jwt: broken"}, "auth-unavailable"},
		"a way that says nothing":              {"jwt", []string{"X-Jwt: nobody"}, "unexpected"},
		"another way's credential":             {"jwt", []string{"X-Key: ok"}, "unauthorized"},
		"any of, by the first":                 {"jwt | key", []string{"X-Jwt: ok"}, "jwt-sub"},
		"any of, by the second":                {"jwt | key", []string{"X-Key: ok"}, "key-sub"},
		"any of, by both":                      {"jwt | key", []string{"X-Key: ok", "X-Jwt: ok"}, "jwt-sub"},
		"any of, one wrong":                    {"jwt | key", []string{"X-Jwt: bad", "X-Key: ok"}, "key-sub"},
		"any of, one cannot tell":              {"jwt | key", []string{"X-Jwt: down", "X-Key: ok"}, "key-sub"},
		"any of, one cannot tell, one wrong":   {"jwt | key", []string{"X-Jwt: down", "X-Key: bad"}, "auth-unavailable"},
		"any of, one cannot tell, one missing": {"key | jwt", []string{"X-Jwt: down"}, "auth-unavailable"},
		"any of, none":                         {"jwt | key", nil, "unauthorized"},
		"all of":                               {"jwt & key", []string{"X-Jwt: ok", "X-Key: ok"}, "jwt-sub"},
		"all of, one missing":                  {"jwt & key", []string{"X-Jwt: ok"}, "unauthorized"},
		"all of, the other missing":            {"jwt & key", []string{"X-Key: ok"}, "unauthorized"},
		"all of, one wrong":                    {"jwt & key", []string{"X-Jwt: ok", "X-Key: bad"}, "unauthorized"},
		"all of, one cannot tell":              {"jwt & key", []string{"X-Jwt: ok", "X-Key: down"}, "auth-unavailable"},
		"all or one":                           {"jwt & key | kept", []string{"X-Kept: ok"}, "kept-sub"},
		"anonymous":                            {"jwt | anonymous", nil, "anonymous"},
		"anonymous, known":                     {"jwt | anonymous", []string{"X-Jwt: ok"}, "jwt-sub"},
		"anonymous, wrong":                     {"jwt | anonymous", []string{"X-Jwt: bad"}, "unauthorized"},
		"anonymous, several":                   {"jwt | anonymous", []string{"X-Jwt: ok", "X-Jwt: ok"}, "unauthorized"},
		"anonymous, nobody can tell":           {"jwt | anonymous", []string{"X-Jwt: down"}, "auth-unavailable"},
		"anonymous, half of all":               {"jwt & key | anonymous", []string{"X-Jwt: ok"}, "unauthorized"},
	} {
		t.Run(name, func(t *testing.T) {
			a := send(t, build(t, c.rule), c.lines...)
			got := "anonymous"
			switch {
			case a.fault != nil:
				got = a.fault.Code
			case a.caller != nil:
				got = a.caller.Subject
			}
			if got != c.want || (a.passed != nil) != (a.fault == nil) {
				t.Errorf("%s, passed %v, not %s", got, a.passed != nil, c.want)
			}
		})
	}
}

func TestARefusalTellsTheClientTheSchemesAndNoReason(t *testing.T) {
	p := build(t, "jwt | key & kept")
	none := send(t, p)
	if want := []string{`Bearer realm="api"`, `ApiKey realm="api"`, `Basic realm="api", charset="UTF-8"`}; none.status != 401 || !slices.Equal(none.header.Values("WWW-Authenticate"), want) {
		t.Errorf("%d, %q", none.status, none.header.Values("WWW-Authenticate"))
	}
	bad := send(t, p, "X-Jwt: bad")
	if got := bad.header.Values("WWW-Authenticate")[0]; got != `Bearer realm="api", error="invalid_token"` {
		t.Errorf("a wrong token gets %s", got)
	}
	several := send(t, p, "X-Jwt: ok", "X-Jwt: ok")
	if got := several.header.Values("WWW-Authenticate")[0]; got != `Bearer realm="api", error="invalid_request"` {
		t.Errorf("two tokens get %s", got)
	}
	if !strings.Contains(bad.fault.Operator(), "jwt: the secret reason is wrong") || bad.fault.Detail != "" {
		t.Errorf("operators are told %q, clients %q", bad.fault.Operator(), bad.fault.Detail)
	}
	if down := send(t, p, "X-Jwt: down"); down.status != 503 || len(down.header.Values("WWW-Authenticate")) > 0 {
		t.Errorf("%d, %v", down.status, down.header)
	}
}

func TestALater401TellsAnAnonymousCallerTheSchemes(t *testing.T) {
	ours := []string{`Bearer realm="api"`, `ApiKey realm="api"`}
	for name, c := range map[string]struct {
		lines  []string
		status int
		own    string // what the route behind the guard says itself
		want   []string
	}{
		"refused behind the guard":    {nil, http.StatusUnauthorized, "", ours},
		"with a challenge of its own": {nil, http.StatusUnauthorized, "Negotiate", []string{"Negotiate"}},
		"served":                      {nil, http.StatusOK, "", nil},
		"a known caller":              {[]string{"X-Jwt: ok"}, http.StatusUnauthorized, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			a := sendTo(t, build(t, "jwt | key | anonymous"), func(w http.ResponseWriter) {
				if c.own != "" {
					w.Header().Set("WWW-Authenticate", c.own)
				}
				w.WriteHeader(c.status)
			}, c.lines...)
			if got := a.header.Values("WWW-Authenticate"); a.status != c.status || !slices.Equal(got, c.want) {
				t.Errorf("%d %q, not %d %q", a.status, got, c.status, c.want)
			}
		})
	}
}

func TestWhatGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		rule  string
		lines []string
		want  map[string]string
	}{
		"the credential is taken out, and fields are set": {"jwt", []string{"X-Jwt: ok", "X-Other: 1"}, map[string]string{"X-Other": "1", "X-User": "jwt-sub"}},
		"kept where it is asked for":                      {"kept", []string{"X-Kept: ok"}, map[string]string{"X-Kept": "ok"}},
		"of the way that was not asked too":               {"key | jwt", []string{"X-Key: ok", "X-Jwt: bad"}, map[string]string{}},
		"kept only where it was checked":                  {"key | kept", []string{"X-Key: ok", "X-Kept: bad"}, map[string]string{}},
		"of all":                                          {"key & kept & jwt", []string{"X-Key: ok", "X-Kept: ok", "X-Jwt: ok"}, map[string]string{"X-Kept": "ok", "X-User": "key-sub"}},
		"a token in the place of the gateway's own":       {"mint | anonymous", []string{"Authorization: Bearer forged", "X-Other: 1"}, map[string]string{"X-Other": "1"}},
		"in other spellings":                              {"key | anonymous", []string{"X_Key: ok", "x.key: ok"}, map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			a := send(t, build(t, c.rule), c.lines...)
			got := map[string]string{}
			for field, values := range a.passed {
				got[field] = strings.Join(values, ", ")
			}
			if g, w := encode(got), encode(c.want); g != w || a.fault != nil {
				t.Errorf("%s (%v), not %s", g, a.fault, w)
			}
		})
	}
}

func encode(m map[string]string) string {
	b, _ := json.Marshal(m)
	return string(b)
}

func TestExplainIsToldWhichWaysThereAre(t *testing.T) {
	if got := build(t, "jwt & key | kept | anonymous").Note; got != "jwt (fake) and key (fake), or kept (fake), or anonymous" {
		t.Error(got)
	}
}

func TestExplainAssumesACaller(t *testing.T) {
	for name, c := range map[string]struct {
		rule   string
		caller *exchange.Identity
		lines  string
		want   string // the code of the problem, or why it passes
	}{
		"a caller":                {"jwt", &exchange.Identity{Subject: "ada"}, "", "as assumed"},
		"nobody":                  {"jwt", nil, "", "unauthorized"},
		"anonymous":               {"jwt | anonymous", nil, "", "anonymous"},
		"anonymous, a caller":     {"jwt | anonymous", &exchange.Identity{Subject: "ada"}, "", "as assumed"},
		"a credential":            {"jwt", nil, "ok", "unauthorized"},
		"anonymous, a credential": {"jwt | anonymous", nil, "ok", "unauthorized"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if c.lines != "" {
			r.Header.Set("X-Jwt", c.lines)
		}
		r = exchange.With(r, &exchange.Exchange{Identity: c.caller})
		v := build(t, c.rule).Ask(r)
		got := v.Why
		if v.Fault != nil {
			got = v.Fault.Code
		}
		if got != c.want || v.Why == "" {
			t.Errorf("%s: %s (%s), not %s", name, got, v.Why, c.want)
		}
	}
}

func TestExplainTellsThatACredentialWasNotChecked(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-Jwt", "ok")
	v := build(t, "jwt").Ask(exchange.With(r, &exchange.Exchange{}))
	if v.Fault == nil || v.Fault.Operator() != "credentials are not checked here; assume a caller" {
		t.Errorf("explain says %q of the refusal", v.Fault.Operator())
	}
}

func TestWaysThatNoRequestCouldShowTogetherAreRefused(t *testing.T) {
	of := func(places ...ways.Place) ways.Way {
		return ways.Way{Places: places, Recognise: func(*http.Request) (*exchange.Identity, error) { return nil, ways.ErrAbsent }}
	}
	bearer, basic, cookie := ways.AuthorizationOf("Bearer"), ways.AuthorizationOf("Basic"), ways.Place{Kind: ways.InCookie, Name: "session"}
	for name, c := range map[string]struct {
		a, b ways.Way
		want string
	}{
		"two schemes of a field":       {of(bearer), of(basic), `a and b stand in one field, Authorization, which a request has once; so nobody could pass`},
		"one may stand elsewhere":      {of(bearer, cookie), of(basic), ""},
		"one credential for both":      {of(bearer), of(bearer), ""},
		"fields of their own":          {of(bearer), of(ways.Place{Kind: ways.InHeader, Name: "X-Api-Key"}), ""},
		"the certificate has no place": {of(bearer), of(), ""},
	} {
		known := map[string]ways.Way{"a": c.a, "b": c.b}
		rule := &auth.Config{Who: config.AuthRule{AnyOf: [][]config.AuthName{{{Name: "a"}, {Name: "b"}}}}}
		_, err := auth.Definition().Build(filter.Env{Auth: func(n string) (ways.Way, error) { w := known[n]; w.Name = n; return w, nil }}, rule)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestAWayThatIsNotThereRefusesTheConfig(t *testing.T) {
	c := &auth.Config{Who: config.AuthRule{AnyOf: [][]config.AuthName{{{Name: "x"}}}}}
	_, err := auth.Definition().Build(filter.Env{Auth: func(string) (ways.Way, error) { return ways.Way{}, errors.New("there is no auth x") }}, c)
	if err == nil {
		t.Error("a guard without a way was built")
	}
}

func BenchmarkGuard(b *testing.B) {
	c := &auth.Config{Who: config.AuthRule{AnyOf: [][]config.AuthName{{{Name: "jwt"}}}}}
	identity := &exchange.Identity{Subject: "ada"}
	way := ways.Way{
		Name: "jwt", Scheme: "Bearer", Places: []ways.Place{ways.AuthorizationOf("Bearer")},
		Recognise: func(*http.Request) (*exchange.Identity, error) { return identity, nil },
	}
	p, err := auth.Definition().Build(filter.Env{Auth: func(string) (ways.Way, error) { return way, nil }}, c)
	if err != nil {
		b.Fatal(err)
	}
	h := p.Guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, name := range []string{"Accept", "Accept-Language", "User-Agent", "Cookie", "Referer", "Authorization"} {
		r.Header.Set(name, "x")
	}
	w, r := exchange.Begin(httptest.NewRecorder(), r, &exchange.Exchange{})
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
}
