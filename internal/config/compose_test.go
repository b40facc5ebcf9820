package config_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/template"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
)

func TestWhatNobodyReadsIsWarnedOf(t *testing.T) {
	for name, c := range map[string]struct{ steps, result, want string }{
		"a result":         {"a: http://a:1", "1", `weir.yaml:5:7: warning: nothing reads the step "a"`},
		"a write":          {"a: { to: http://a:1, body: {} }", "1", ""},
		"all, by default":  {"a: http://a:1", "", ""},
		"read by a step":   {"a: http://a:1\n      b: { to: http://a:1, when: =steps.a.status == 200, method: PUT }", "1", ""},
		"read by return":   {"a: http://a:1", "=steps.a.text", ""},
		"one call for all": {"a: { to: http://a:1, each: '=[1]' }", "=steps.a.body", "warning: the step \"a\" makes the same call"},
	} {
		text := "listen: :8080\nroutes:\n  GET /:\n    compose:\n      " + c.steps + "\n"
		if c.result != "" {
			text += "    return: " + c.result + "\n"
		}
		r := config.Load([]config.Source{source("weir.yaml", text)}, vocabulary())
		if r.Config == nil || len(r.Problems) > 1 || (c.want == "") != (len(r.Problems) == 0) || c.want != "" && !strings.Contains(r.Problems[0].String(), c.want) {
			t.Errorf("%s: want %q, got\n%s", name, c.want, lines(r.Problems))
		}
	}
}

// A value without = is sent as it stands, which is seldom meant of these.
func TestTextsThatReadLikeExpressionsAreWarnedOf(t *testing.T) {
	const at = "listen: :8080\nroutes:\n  POST /:\n    compose: { a: { to: 'http://a:1', headers: { X: %s }, body: { x: 1 } } }\n    return: { n: %s }\n"
	for text, want := range map[string]string{
		`steps.a.body`:                   `the text "steps.a.body" stands for itself; an expression begins with =; write =steps.a.body, or ="steps.a.body" for the text`,
		`"steps.a.body.map(o, o.id)"`:    `stands for itself`,
		`"request.headers['x-user']"`:    `or ="request.headers['x-user']" for the text`,
		`"{=steps.a.body}"`:              `the text "{=steps.a.body}" stands for itself; an expression in braces is one in paths; write =steps.a.body, or ="{=steps.a.body}" for the text`,
		`path.svc.local`:                 ``,
		`auth.example.com`:               ``,
		`host.docker.internal`:           ``,
		`request`:                        ``,
		`the request.path of the client`: ``,
		`application/json`:               ``,
		`="steps.a.body"`:                ``,
	} {
		for place, file := range map[string]string{"return": fmt.Sprintf(at, "y", text), "headers": fmt.Sprintf(at, text, "=steps.a.status")} {
			r := config.Load([]config.Source{source("weir.yaml", file)}, vocabulary())
			told := lines(r.Problems)
			if r.Config == nil || want == "" && told != "" || want != "" && (!strings.Contains(told, "warning: ") || !strings.Contains(told, want)) {
				t.Errorf("%s of %s: want %q, got\n%s", text, place, want, told)
			}
		}
	}
}

func TestStepsAndElementsHaveBounds(t *testing.T) {
	var many strings.Builder
	for i := range 65 {
		fmt.Fprintf(&many, "      s%d: http://a:1\n", i)
	}
	problems(t, "too many", "listen: :8080\nroutes:\n  GET /:\n    compose:\n"+many.String(), `has 65 steps; there may be 64`)
}

// TestInlineCompositionsHaveNamesOfTheirOwn holds that a route may be called like
// the function that its composition calls.
func TestInlineCompositionsHaveNamesOfTheirOwn(t *testing.T) {
	c := load(t, "listen: :8080",
		"routes:",
		"  GET /a: { name: orders, compose: { all: 'fn:orders' } }",
		"  GET /b: { compose: { all: orders } }",
		"functions:", "  orders: { run: ./orders }")
	for i, want := range []string{"route orders", "GET /b"} {
		if c.Compositions[i].Name != want || c.Routes[i].Backends[0].Ref.String() != "compose:"+want {
			t.Errorf("%q is named as %s", c.Compositions[i].Name, c.Routes[i].Backends[0].Ref)
		}
	}
	all := c.Compositions[0].Return.Body
	if all.Kind != config.TreeObject || all.Members[0].Name != "all" || all.Members[0].Value.Expr.Source != "steps.all.body" {
		t.Errorf("without return the answer is %+v", all)
	}
}

func TestTreesAreJSONWithExpressions(t *testing.T) {
	for text, want := range map[string]string{
		"8": "8", "-1.50": "-1.50", "010": `"010"`, "true": "true", "'true'": `"true"`, "yes": `"yes"`, "plain <b> text": `"plain <b> text"`,
		"12345678901234567890": "12345678901234567890", "'8'": `"8"`, "=path.x": "=path.x", "'=null'": "=null", "''": `""`,
		"[1, [], {}]": "[1,[],{}]", "{b: 1, a: [=item, x]}": `{b:1,a:[=item,"x"]}`,
	} {
		var ps doc.Problems
		var tree config.Tree
		tree.DecodeDoc(doc.Parse("x.yaml", []byte(text), &ps), &ps)
		if got := shown(tree); got != want || ps.Failed() {
			t.Errorf("%s: got %s, want %s %s", text, got, want, lines(ps.Sorted()))
		}
		var again config.Tree
		again.DecodeDoc(doc.Parse("x.yaml", doc.Encode(tree.EncodeDoc()), &ps), &ps)
		if shown(again) != want {
			t.Errorf("%s: printed and read again it is %s", text, shown(again))
		}
	}
}

// shown writes a tree down in one line.
func shown(t config.Tree) string {
	var parts []string
	switch t.Kind {
	case config.TreeExpr:
		return "=" + t.Expr.Source
	case config.TreeList:
		for _, item := range t.Items {
			parts = append(parts, shown(item))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case config.TreeObject:
		for _, m := range t.Members {
			parts = append(parts, m.Name+":"+shown(m.Value))
		}
		return "{" + strings.Join(parts, ",") + "}"
	default:
		return t.Literal
	}
}

func TestPathsOfStepsHoldValues(t *testing.T) {
	for text, want := range map[string]string{
		"/":                               "/",
		"/users/{user}":                   "/users/<user> captured user",
		"/{=steps.a.body.id}":             "/<_0> _0=steps.a.body.id@3",
		"/a/{id=item.id}.json":            "/a/<id>.json id=item.id@7",
		"/{= item['}'] }/{_0}/{user}":     "/<__0>/<_0>/<user> captured _0 user __0=item['}']@4",
		`/{={"a": "}"}["a"]}/**`:          `/<_0>/<**> captured ** _0={"a": "}"}["a"]@3`,
		"/{x=1}/{x}":                      "{x} stands twice in the path@0",
		"/{x}/{x}":                        "/<x>/<x> captured x x",
		"/a{=}":                           "an empty expression in the path@2",
		"/a{=item":                        "a { without a } after its expression@2",
		"/a/{b-c=1}":                      "{b-c=1} is no name of a parameter@3",
		"/{long=item.id}/{a-b}":           "{a-b} is no name of a parameter@16",
		"users":                           `the path "users" does not begin with a slash@0`,
		"/{rest...}":                      "/<rest> captured rest",
		"/x?y={=1}":                       "a path has no ?@2",
		"/{=steps.a.body.map(x, {1: x})}": "/<_0> _0=steps.a.body.map(x, {1: x})@3",
	} {
		parsed, err := config.PathTemplate{Text: text, Pos: doc.Pos{Line: 1, Col: 0}}.Parse()
		var got string
		if wrong, ok := errors.AsType[*template.Error](err); ok {
			got = fmt.Sprintf("%s@%d", wrong.Text, wrong.Offset)
		} else {
			made, err := parsed.Template.Make(func(name string) (string, error) { return "<" + name + ">", nil })
			if err != nil {
				t.Error(err)
			}
			got = strings.NewReplacer("%3C", "<", "%3E", ">").Replace(made)
			if names := parsed.Captured(); len(names) > 0 {
				got += " captured " + strings.Join(names, " ")
			}
			for _, v := range parsed.Values {
				got += fmt.Sprintf(" %s=%s@%d", v.Name, v.Expr.Source, v.Expr.Pos.Col)
			}
		}
		if got != want {
			t.Errorf("%s:\n got %s\nwant %s", text, got, want)
		}
	}
}

// FuzzPlan draws random graphs, as config text, and holds the plan against a naive
// one: who is free is taken out, until nobody is left or all that are left wait.
func FuzzPlan(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, uint8(seed%12+1), uint8(seed*13))
	}
	f.Fuzz(func(t *testing.T, seed uint64, steps, density uint8) {
		n := int(steps%20) + 1
		r := rand.New(rand.NewPCG(seed, 1))
		reads := make([][]int, n)
		var text strings.Builder
		text.WriteString("listen: :8080\nroutes:\n  GET /:\n    compose:\n")
		names := make([]string, n)
		for i := range n {
			names[i] = fmt.Sprintf("s%d", i)
			for j := range n {
				if r.IntN(256) < int(density)/4 {
					reads[i] = append(reads[i], j)
				}
			}
			text.WriteString(stepText(r, names[i], reads[i]))
		}
		loaded := config.Load([]config.Source{source("weir.yaml", text.String())}, vocabulary())
		levels, left := naive(reads)
		cyclic := slices.ContainsFunc(loaded.Problems, func(p doc.Problem) bool {
			return strings.Contains(p.What, "wait for each other") || strings.Contains(p.What, "reads its own result")
		})
		if cyclic != (len(left) > 0) || cyclic != (loaded.Config == nil) {
			t.Fatalf("the loader says cycle %v, naive are left %v\n%s\n%s", cyclic, left, lines(loaded.Problems), text.String())
		}
		byName := make([][]string, n)
		for i, list := range reads {
			for _, j := range list {
				byName[i] = append(byName[i], names[j])
			}
		}
		plan := config.PlanOf(names, byName)
		if !slices.EqualFunc(plan.Levels, levels, slices.Equal) {
			t.Fatalf("levels %v, naive %v\n%s", plan.Levels, levels, text.String())
		}
		for i, at := range plan.Cycle { // it is one, and of those that are left
			next := plan.Cycle[(i+1)%len(plan.Cycle)]
			if !slices.Contains(reads[at], next) || !slices.Contains(left, at) {
				t.Fatalf("%v is no cycle\n%s", plan.Cycle, text.String())
			}
		}
	})
}

// stepText writes a step that reads others, each in one of the ways there are.
func stepText(r *rand.Rand, name string, reads []int) string {
	parts := map[string][]string{}
	for _, j := range reads {
		way := []string{"path", "query", "headers", "body", "when", "each", "else"}[r.IntN(7)]
		parts[way] = append(parts[way], fmt.Sprintf("steps.s%d.body", j))
	}
	text := "      " + name + ":\n        to: http://a:1\n"
	for way, list := range parts {
		all := "[" + strings.Join(list, ", ") + "]"
		switch way {
		case "path":
			text += "        path: '/{=" + strings.Join(list, "}/{=") + "}'\n"
		case "query", "headers":
			text += "        " + way + ": { a: '=string(" + all + ".size())' }\n"
		case "body", "else":
			text += "        " + way + ": [{ a: '=" + all + "' }]\n"
		case "when":
			text += "        when: '=" + all + " == [1]'\n"
		case "each":
			text += "        each: '=" + all + "'\n"
		}
	}
	return text
}

// naive takes out round for round those that wait for none of the others.
func naive(reads [][]int) (levels [][]int, left []int) {
	for i := range reads {
		left = append(left, i)
	}
	for len(left) > 0 {
		var free []int
		for _, i := range left {
			if !slices.ContainsFunc(reads[i], func(j int) bool { return slices.Contains(left, j) }) {
				free = append(free, i)
			}
		}
		if free == nil {
			return levels, left
		}
		levels = append(levels, free)
		left = slices.DeleteFunc(left, func(i int) bool { return slices.Contains(free, i) })
	}
	return levels, nil
}
