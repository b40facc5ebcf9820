package compose_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/compose"
)

// FuzzRun generates a random composition and compares its answer with one that is computed step by step. A step
// returns its number plus the sum of what it reads, fails or is skipped, and has an else or none. Where the seed says
// so, a backend answers after the others, so that calls end in a different order each time.
func FuzzRun(f *testing.F) {
	for seed := range uint64(30) {
		f.Add(seed, uint8(seed%9+1))
	}
	f.Fuzz(func(t *testing.T, seed uint64, size uint8) {
		r := rand.New(rand.NewPCG(seed, 7))
		n := int(size%12) + 1
		steps := make([]drawn, n)
		var text strings.Builder
		text.WriteString("  GET /home/{user}:\n    compose:\n")
		for i := range steps {
			steps[i] = draw(r, i)
			text.WriteString(steps[i].text(i))
		}
		c := world{"a": func(req *http.Request) (*http.Response, error) {
			if req.URL.Query().Get("wait") != "" {
				for range 50 {
					runtime.Gosched()
				}
			}
			if strings.HasPrefix(req.URL.Path, "/bad") {
				return reply(req, 500, "")
			}
			sum, _ := strconv.Atoi(req.URL.Query().Get("own"))
			for _, q := range req.URL.Query()["q"] {
				v, err := strconv.Atoi(q)
				if err != nil {
					return nil, fmt.Errorf("q is %q", q)
				}
				sum += v
			}
			return reply(req, 200, strconv.Itoa(sum))
		}}.route(t, text.String())
		got := get(t, c)
		if want, ok := expected(steps); ok {
			got.want(t, text.String(), 200, want)
		} else {
			got.want(t, text.String(), 502, "composition-failed")
		}
		if x := got.x; len(x.Attempts) > n {
			t.Errorf("%d attempts of %d steps", len(x.Attempts), n)
		}
	})
}

// drawn is a step of a random composition. It reads only earlier steps.
type drawn struct {
	reads                    []int
	bad, skip, stands, waits bool
	each                     bool
}

func draw(r *rand.Rand, i int) drawn {
	s := drawn{bad: r.IntN(8) == 0, skip: r.IntN(6) == 0, stands: r.IntN(3) > 0, waits: r.IntN(2) == 0, each: r.IntN(5) == 0}
	for j := range i {
		if r.IntN(3) == 0 {
			s.reads = append(s.reads, j)
		}
	}
	return s
}

// number is what an expression reads of step j: a list with one element if the step has each, and null if it was
// skipped.
func number(j int) string {
	body := fmt.Sprintf("steps.s%d.body", j)
	return fmt.Sprintf("(type(%[1]s) == list ? (size(%[1]s) == 0 ? 0 : %[1]s[0]) : (%[1]s == null ? 0 : %[1]s))", body)
}

func (s drawn) text(i int) string {
	path := "fine"
	if s.bad {
		path = "bad"
	}
	query := []string{}
	for _, j := range s.reads {
		query = append(query, `"=`+number(j)+`"`)
	}
	text := fmt.Sprintf("      s%d:\n        to: http://a/%s\n        query: { own: %d, q: [%s]", i, path, i+1, strings.Join(query, ", "))
	if s.waits {
		text += ", wait: 1"
	}
	text += " }\n"
	if s.skip {
		text += "        when: =false\n"
	}
	if s.stands {
		text += fmt.Sprintf("        else: %d\n", -i-1)
	}
	if s.each {
		text += "        each: =[request.path]\n        headers: { X: =item }\n"
	}
	return text
}

// expected computes the answer. It returns false if a step without an else fails.
func expected(steps []drawn) (string, bool) {
	values := make([]int, len(steps))
	var members []string
	for i, s := range steps {
		values[i] = i + 1
		for _, j := range s.reads {
			values[i] += values[j]
		}
		shown := strconv.Itoa(values[i])
		switch {
		case s.skip && s.each:
			values[i], shown = 0, ""
		case s.skip && !s.stands:
			values[i], shown = 0, "null"
		case (s.bad || s.skip) && s.stands:
			values[i], shown = -i-1, strconv.Itoa(-i-1)
		case s.bad:
			return "", false
		}
		if s.each {
			shown = "[" + shown + "]"
		}
		members = append(members, fmt.Sprintf(`"s%d":%s`, i, shown))
	}
	return "{" + strings.Join(members, ",") + "}", true
}

// FuzzBodies checks that no body of a backend or client breaks anything: JSON passes unchanged, and anything else is
// a problem, not a panic.
func FuzzBodies(f *testing.F) {
	for _, body := range []string{`{"a": [1, 2.50, "x"]}`, `[]`, `"\ud800"`, "\xff", `{"a":1,"a":2}`, `1e400`, strings.Repeat("[", 200), ` 7 `, "null", ""} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		c := world{"a": says(200, body), "b": func(r *http.Request) (*http.Response, error) { return reply(r, 200, `1`) }}.route(t, `
  POST /home/{user}:
    compose:
      a: http://a/
      b: { to: "http://b", path: "/x/{=steps.a.body.a}", query: { a: =steps.a.body.a }, headers: { X: =steps.a.body.a }, body: [=request.body], else: 2 }
    return: [=steps.a.body, =steps.b.body, =request.body]
`)
		a := ask(t, c, request(http.MethodPost, "/home/7", body))
		switch a.status {
		case 200:
			trimmed := strings.Trim(body, " \t\r\n")
			own := trimmed
			switch {
			case trimmed == "":
				trimmed, own = "null", "null"
			case trimmed[0] == '"': // a text that is selected from a body is encoded anew; a step's whole body is not
				v, err := jsonx.Parse([]byte(trimmed), jsonx.Options{})
				if err != nil {
					t.Fatal(err)
				}
				trimmed = string(jsonx.AppendString(nil, v.Text()))
			}
			if a.body != "["+own+",1,"+trimmed+"]" && a.body != "["+own+",2,"+trimmed+"]" {
				t.Errorf("%q became %q", body, a.body)
			}
		case 400, 413, 502:
		default:
			t.Errorf("%q: got %d %v", body, a.status, a.err)
		}
	})
}

// FuzzConfig checks that every composition that the config accepts can be built and called: errors show when the
// config is read, not with the first request.
func FuzzConfig(f *testing.F) {
	for _, text := range []string{
		"compose: { a: 'http://a/{user}', b: { to: 'http://b', path: '/{=steps.a.body.id}', else: [=path.user] } }",
		"compose: { a: { to: 'http://a', cache: { ttl: 1m, shared: true, renew: \"=query.x == '1'\" } } }\nreturn: =steps.a.body",
		"compose: { a: 'http://a', b: { to: 'http://b', each: =steps.a.body.items, query: { i: =string(item) }, parallel: 2 } }\nreturn: { status: =steps.a.status, body: =steps.b.body }",
		"compose: { a: { to: 'http://a', body: =request.body, undo: { path: '/{=steps.a.body.id}' } }, b: { to: 'http://b', when: =steps.a.status == 200, status: { 4xx: pass } } }",
		"compose: { a: { to: 'http://a', headers: { X: =steps.b.body.id } }, b: { to: 'http://b', query: { a: =steps.a.text } } }",
		"compose: { a: { to: 'http://a', timeout: 1s, retry: 2, max_body: 1KiB, required: false } }\ntiming: true",
		"compose: { a: { to: 'http://a', body: 1, undo: { path: orders } } }",
	} {
		f.Add(text)
	}
	answers := backend(func(r *http.Request) (*http.Response, error) {
		return reply(r, 200, `{"id": "7", "items": [1, "a", null]}`)
	})
	f.Fuzz(func(t *testing.T, text string) {
		lines := "    " + strings.ReplaceAll(text, "\n", "\n    ")
		r := config.Load([]config.Source{{Path: "weir.yaml", Data: []byte("listen: :80\nroutes:\n  POST /home/{user}:\n" + lines)}}, config.Vocabulary{
			Schemes: []config.Scheme{{Name: "http", Example: "http://a"}, config.ComposeScheme()},
		})
		if r.Config == nil || len(r.Config.Compositions) != 1 {
			return
		}
		made, err := compose.New(&r.Config.Compositions[0], compose.Options{
			Log: slog.New(slog.DiscardHandler), Secret: secret.Placeholder,
			Backend: func(*config.Step) (compose.Backend, error) {
				return compose.Backend{RoundTripper: answers, Host: "a"}, nil
			},
		})
		if err != nil {
			t.Fatalf("it passes, and cannot be made: %v\n%s", err, text)
		}
		if a := ask(t, made, request(http.MethodPost, "/home/7?x=1", `{"sku": 1}`)); a.err != nil && a.fault == nil {
			t.Errorf("%v\n%s", a.err, text)
		}
	})
}
