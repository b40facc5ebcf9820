package expr_test

import (
	"errors"
	"testing"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// FuzzCompile: any source compiles or is told what is wrong with it, at a place
// within it, and what compiles runs without a panic.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		`request.method == 'GET'`, `path.user == auth.sub`, `auth.has('a')`, `request.body.a[0].b * 2 > 1.5`,
		`cidr(['10.0.0.0/8']).contains(client.ip)`, `steps.a.body.map(x, {'x': x})`, `request.heders['x']`, `a = b`,
		`"\u00e9".size() + b'\xff'.size() > 1u`, `[1, 2].sort().join()`, `request.headers.x-beta`, `math.greatest([])`,
		`request.path.matches('(')`, `weir.Step{a: 1}`, `has(auth.claims.x) ? 1 : 'a'`, `"%d".format([1])`, `((((`, `steps[auth.sub]`,
		`dyn(1) + dyn('a')`, `1 in request.body || -request.body`, "request\n.path\n== ''", `type(auth.scopes) == list`, `google.protobuf.Value{}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, source string) {
		for _, want := range []expr.Type{expr.Any, expr.Bool, expr.String} {
			p, err := expr.Compile(source, want, all)
			if err != nil {
				e, ok := errors.AsType[*expr.Error](err)
				if !ok || e.Line < 1 || e.Col < 1 || e.Text == "" {
					t.Fatalf("%q: %#v", source, err)
				}
				continue
			}
			evaluate(t, p, `{"a": [{"b": 1}]}`)
		}
	})
}

// FuzzEval: hostile bodies and names give values or errors, and a value can be written
// as JSON.
func FuzzEval(f *testing.F) {
	for _, seed := range []string{
		`{"a": 1}`, `{"a": 1.10}`, `{"a": 9007199254740993}`, `{"a": 1e400}`, `{"a": "1"}`, `{"a": [1, "x", null, {"b": {}}]}`,
		`{"a": 18446744073709551616}`, `{"a": {"a": -0}}`, `{"a": "\ud800"}`, `[]`, `{"a": 1, "a": 2}`, `{"a": -9223372036854775808}`,
	} {
		f.Add(seed, "a")
	}
	programs := []*expr.Program{}
	for _, source := range []string{
		`request.body.a`, `request.body.a * 2`, `request.body.a + request.body.a`, `-request.body.a`, `request.body.a == request.body`,
		`request.body.a.map(x, x)`, `request.body.a.b.size() > 1`, `{"x": request.body, "y": request.body.a}`, `string(request.body.a)`,
		`request.body.a < 1.5`, `request.body.a in [1, 1.5, 'x']`, `1.5 in request.body.a`, `request.body.a % 2`, `1 / request.body.a`,
		`query[request.body.a]`, `request.body.a.distinct()`, `int(request.body.a)`, `request.body[path.user]`, `request.body.a.sort()`,
	} {
		programs = append(programs, mustCompile(f, source, expr.Any))
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		for _, p := range programs {
			in := input()
			in.RequestBody = body(text)
			in.Request.Header.Set("X-Beta", name)
			value, err := p.Value(in)
			if err != nil {
				continue
			}
			out, err := jsonx.Append(nil, value)
			if err != nil {
				t.Fatalf("%s over %q gave %#v: %v", p.Source(), text, value, err)
			}
			if _, err := jsonx.Parse(out, jsonx.Options{}); err != nil && utf8.Valid(out) {
				t.Fatalf("%s over %q gave %q: %v", p.Source(), text, out, err)
			}
		}
	})
}

// evaluate runs p in all ways; errors are fine.
func evaluate(t *testing.T, p *expr.Program, text string) {
	t.Helper()
	in := input()
	in.RequestBody = body(text)
	if value, err := p.Value(in); err == nil {
		_, _ = jsonx.Append(nil, value) // infinity has no JSON
	}
	_, _ = p.Bool(in)
	_, _ = p.String(in)
}
