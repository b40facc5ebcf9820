package auth_test

import (
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

// told reads what stands under `forward`.
func told(t *testing.T, text string) (auth.Forward, []doc.Problem) {
	t.Helper()
	var f auth.Forward
	var ps doc.Problems
	doc.Decode(doc.Parse("weir.yaml", []byte(text), &ps), &f, &ps)
	return f, ps.Sorted()
}

func TestForwardIsReadAndPrintedAlike(t *testing.T) {
	for _, text := range []string{"token\n", "headers:\n  X-User: =auth.sub\n", "token: true\nheaders:\n  X-User: =auth.sub\n  X-Plan: =auth.claims.plan\n"} {
		f, problems := told(t, text)
		if printed := string(doc.Encode(f)); len(problems) > 0 || printed != text {
			t.Errorf("%q is printed as %q, with %v", text, printed, problems)
		}
	}
}

func TestForwardRefusesWhatWouldMislead(t *testing.T) {
	for text, want := range map[string]string{
		"tokens":                                                "forward is \"tokens\"",
		"headers: X-User":                                       "a value is given where fields are expected",
		"headers: {X User: =auth.sub}":                          "is not the name of a field",
		"headers: {Content-Length: =auth.sub}":                  "clients send it for other reasons",
		"headers: {Cookie: =auth.sub}":                          "clients send it for other reasons",
		"headers: {Authorization: =auth.sub}":                   "clients send it for other reasons",
		"headers: {Accept_Language: =auth.sub}":                 "clients send it for other reasons",
		"headers: {Sec-Fetch-Site: =auth.sub}":                  "clients send it for other reasons",
		"headers: {X-User: =auth.sub, x_user: =auth.id}":        "stands twice",
		"header: {X-User: =auth.sub}":                           "did you mean \"headers\"",
		"{headers: {X-User: =auth.sub}, jwt: {header: x_user}}": "the field X_user stands twice",
	} {
		_, problems := told(t, text)
		if len(problems) != 1 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%q: want %q, got %v", text, want, problems)
		}
	}
}

func TestExpressionsOfForwardAreCheckedWithTheConfig(t *testing.T) {
	type kind struct {
		Fake string `doc:"fake"`

		auth.Common `doc:",inline"`
	}
	fake := auth.Define("fake", "", func() kind { return kind{} }, func(auth.Env, *kind) (auth.Way, error) { return auth.Way{}, nil })
	for expression, want := range map[string]string{
		"=auth.subject":    "weir.yaml:3:53: X-User: 'auth' has no field 'subject'",
		"=request.body.id": "weir.yaml:3:49: X-User reads the body of the request",
		"=auth.sub":        "",
	} {
		text := "listen: :8080\nauth:\n  a: { fake: x, forward: { headers: { X-User: \"" + expression + "\" } } }\nroutes:\n  GET /: http://a:1\n"
		loaded := config.Load([]config.Source{{Path: "weir.yaml", Data: []byte(text)}}, config.Vocabulary{
			Auths: []config.Kind{fake.Vocabulary()}, Schemes: []config.Scheme{{Name: "http"}},
		})
		if got := loaded.Problems; want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.HasPrefix(got[0].String(), want)) {
			t.Errorf("%s: want %q, got %v", expression, want, got)
		}
	}
}

func TestBackendsAreToldWhoIsCalling(t *testing.T) {
	f, problems := told(t, "headers: {X-User: =auth.sub, X-Forwarded-User: =auth.id, X-Plan: \"=has(auth.claims.plan) ? auth.claims.plan : ''\", X-N: =auth.claims.n}")
	way := auth.Way{Common: auth.Common{Forward: f}}
	if err := way.Prepare(auth.Env{}); len(problems) > 0 || err != nil {
		t.Fatal(problems, err)
	}
	r := request("/")
	exchange.Of(r).Identity = &exchange.Identity{Issuer: "i", Subject: "ada", Claims: exchange.ClaimsOf(map[string]any{"n": int64(9007199254740993)})}
	if fault := way.Tell(r, exchange.Of(r).Identity); fault != nil {
		t.Fatal(fault)
	}
	if h := r.Header; h.Get("X-User") != "ada" || h.Get("X-Forwarded-User") != "1:i#ada" || len(h["X-Plan"]) > 0 || h.Get("X-N") != "9007199254740993" {
		t.Errorf("told %v", h)
	}
	exchange.Of(r).Identity = &exchange.Identity{Subject: "ada\r\nX-Admin: 1", Claims: exchange.ClaimsOf(map[string]any{"n": int64(1)})}
	if fault := way.Tell(r, exchange.Of(r).Identity); fault == nil || fault.Status != 403 {
		t.Errorf("a line break passes: %v, %v", fault, r.Header)
	}
	exchange.Of(r).Identity = &exchange.Identity{Subject: "ada"}
	if fault := way.Tell(r, exchange.Of(r).Identity); fault == nil || fault.Status != 403 {
		t.Errorf("a claim that is not there passes: %v", fault)
	}
}
