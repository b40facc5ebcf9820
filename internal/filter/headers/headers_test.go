package headers_test

import (
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/field"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/filter/headers"
)

// decode reads a config as Load does and gives its problems.
func decode(tb testing.TB, text string) (*headers.Config, []doc.Problem) {
	tb.Helper()
	var ps doc.Problems
	n := doc.Parse("test.yaml", []byte(text), &ps)
	c, ok := headers.Definition().New().(*headers.Config)
	if !ok {
		tb.Fatal("New gives no *Config")
	}
	doc.Decode(n, c, &ps)
	return c, ps.Sorted()
}

func policy(tb testing.TB, text string) filter.Policy {
	tb.Helper()
	c, problems := decode(tb, text)
	if len(problems) > 0 {
		tb.Fatal(problems)
	}
	p, err := headers.Definition().Build(filter.Env{}, c)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// backend keeps the request's fields and answers with those given.
type backend struct {
	got http.Header
	res http.Header
}

func (b *backend) RoundTrip(r *http.Request) (*http.Response, error) {
	b.got = r.Header.Clone()
	return &http.Response{StatusCode: http.StatusTeapot, Header: b.res.Clone(), Body: http.NoBody, Request: r}, nil
}

func request() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://shop.dev/a?q=1", nil)
	r.Header = http.Header{"X-Old": {"1"}, "Accept": {"a"}, "X-Multi": {"a", "b"}}
	x := &exchange.Exchange{Path: "/a", Query: "q=1", Identity: &exchange.Identity{Subject: "ann"}}
	x.Params.Add("id", "7")
	return exchange.With(r, x)
}

func TestFieldsOfRequestAndResponseChange(t *testing.T) {
	t.Parallel()
	p := policy(t, `
request:
  set:
    X-User: =auth.sub
    x-multi: one
    X-List: [a, "=path.id"]
  add:
    Accept: b
  remove: x-old
response:
  set: { X-Status: "=string(response.status) + ' ' + query.q" }
  add: { Vary: X-User }
  remove: [Server, x-powered-by]
`)
	b := &backend{res: http.Header{"Server": {"x"}, "X-Powered-By": {"y"}, "Vary": {"Accept"}}}
	res, err := p.Adapt(b).RoundTrip(request())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"X-User": {"ann"}, "X-Multi": {"one"}, "X-List": {"a", "7"}, "Accept": {"a", "b"}, "X-Old": nil,
	} {
		if !slices.Equal(b.got[name], want) {
			t.Errorf("request %s: %q, want %q", name, b.got[name], want)
		}
	}
	for name, want := range map[string][]string{
		"X-Status": {"418 1"}, "Vary": {"Accept", "X-User"}, "Server": nil, "X-Powered-By": nil,
	} {
		if !slices.Equal(res.Header[name], want) {
			t.Errorf("response %s: %q, want %q", name, res.Header[name], want)
		}
	}
	if p.Note != "6 request, 4 response" {
		t.Errorf("note %q", p.Note)
	}
}

// serve runs the whole filter around a backend as the compiler does.
func serve(p filter.Policy, b http.RoundTripper) http.Header {
	final := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, err := p.Adapt(b).RoundTrip(r)
		if err != nil {
			if ew, ok := w.(*exchange.Writer); ok {
				ew.Fail(err)
			}
			return
		}
		maps.Copy(w.Header(), res.Header)
		w.WriteHeader(res.StatusCode)
	}))
	if p.Guard != nil {
		final = p.Guard(final)
	}
	rec := httptest.NewRecorder()
	r := request()
	w, r := exchange.Begin(rec, r, exchange.Of(r))
	final.ServeHTTP(w, r)
	w.Finish(nil)
	return rec.Result().Header
}

func TestResponseFieldsAreOnErrorsTooAndNeverTwice(t *testing.T) {
	t.Parallel()
	p := policy(t, `
response:
  set: { Strict-Transport-Security: max-age=1, X-Status: "=response.status" }
  add: { X-Added: once }
`)
	h := serve(p, &backend{res: http.Header{}})
	if h.Get("X-Status") != "418" || len(h["X-Added"]) != 1 {
		t.Errorf("on a response: %v", h)
	}
	h = serve(p, failing{})
	if h.Get("X-Status") != "502" || len(h["X-Added"]) != 1 || h.Get("Strict-Transport-Security") == "" {
		t.Errorf("on the gateway's own error: %v", h)
	}
}

type failing struct{}

func (failing) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, fault.BackendUnreachable.New("")
}

func TestAValueThatCannotBeComputedFailsTheExchange(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`request: { set: { X-Role: =auth.claims.role } }`,
		`response: { set: { X-Role: =auth.claims.role } }`,
		`request: { set: { X-Role: '=query.q + "\n" + "Evil: 1"' } }`,
	} {
		body := &closed{Reader: strings.NewReader("x")}
		r := request()
		r.Body = body
		b := &backend{res: http.Header{}}
		res, err := policy(t, text).Adapt(b).RoundTrip(r)
		if f, ok := errors.AsType[*fault.Fault](err); !ok || f.Status != http.StatusInternalServerError || res != nil {
			t.Errorf("%s: %v", text, err)
		}
		if strings.HasPrefix(text, "request") && (!body.closed || b.got != nil) {
			t.Errorf("%s: the request went on, or its body stayed open", text)
		}
	}
}

type closed struct {
	io.Reader
	closed bool
}

func (c *closed) Close() error { c.closed = true; return nil }

func TestMistakesAreToldWhereTheyStand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{`request: { set: { Host: a } }`, `test.yaml:1:25: Host cannot be changed here`},
		{`request: { remove: Content-Length }`, `test.yaml:1:20: Content-Length cannot be changed`},
		{`response: { set: { transfer-encoding: chunked } }`, `transfer-encoding cannot be changed`},
		{`response: { add: { Connection: close } }`, `it belongs to one connection`},
		{`request: { set: { "X Bad": a } }`, `"X Bad" is not the name of a field`},
		{`request: { set: { X-A: "a\nb" } }`, `holds a line break`},
		{`request: { set: { X-A: " a" } }`, `begins or ends with a space`},
		{`request: { sett: { X-A: b } }`, `unknown key "sett"`},
		{`request: { set: X-A }`, `is given where fields are expected`},
		{`request: { }`, `headers changes nothing`},
		{`request: { set: { X-A: "a ${TOKEN}" } }`, `test.yaml:1:27: a reference is ${env:NAME} or ${file:/path}; write $${ for a literal ${`},
		{`request: { set: { X-A: "='Bearer ' + '${env:T}'" } }`, `test.yaml:1:24: the value of X-A mixes an expression with a secret`},
		{`request: { set: { X-A: "a\nb ${env:T}" } }`, `holds a line break`},
	} {
		_, problems := decode(t, c.text)
		if len(problems) == 0 || !strings.Contains(problems[0].String(), c.want) {
			t.Errorf("%s: %v, want %s", c.text, problems, c.want)
		}
	}
}

func TestMistakesInExpressionsAreToldWhereTheyStand(t *testing.T) {
	t.Parallel()
	vocabulary := config.Vocabulary{
		Filters: []config.Kind{headers.Definition().Kind()}, Schemes: []config.Scheme{{Name: "http", Example: "http://users:8080"}},
	}
	for text, want := range map[string]string{
		`{ request: { set: { X-A: =auth.sup } } }`:         `test.yaml:4:44: X-A: 'auth' has no field 'sup'; did you mean 'sub'?`,
		`{ request: { set: { X-A: =response.status } } }`:  `test.yaml:4:40: X-A: 'response' is not known here`,
		`{ request: { set: { X-A: =request.body.x } } }`:   `test.yaml:4:40: X-A reads the body of the request`,
		`{ response: { add: { X-A: =response.body.x } } }`: `test.yaml:4:41: X-A reads the body of the response`,
		`{ request: { set: { X-A: "=[1]" } } }`:            `test.yaml:4:41: X-A: must be text, this is a list`,
	} {
		file := "listen: :8080\nroutes:\n  GET /:\n    headers: " + text + "\n    to: http://a:1\n"
		problems := config.Load([]config.Source{{Path: "test.yaml", Data: []byte(file)}}, vocabulary).Problems
		if len(problems) != 1 || !strings.HasPrefix(problems[0].String(), want) {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}

// secrets stands in for the environment.
func secrets(t secret.Template) (secret.Value, error) {
	var text strings.Builder
	for _, p := range t.Parts {
		switch {
		case p.Source == "":
			text.WriteString(p.Text)
		case p.Text == "BROKEN":
			text.WriteString("a\r\nEvil: 1")
		case p.Text == "UNSET":
			return secret.Value{}, errors.New("environment variable UNSET is not set or empty")
		default:
			text.WriteString("<" + p.Source + " " + p.Text + ">")
		}
	}
	return secret.NewValue(text.String()), nil
}

func TestSecretsAreResolvedOnceWhenTheFilterIsBuilt(t *testing.T) {
	t.Parallel()
	c, problems := decode(t, `
request:
  set:
    Authorization: Bearer ${env:TOKEN}
    X-Literal: cost $${env:TOKEN}
  add: { X-Both: ["${file:/a}-${env:B}", plain] }
response:
  set: { X-Region: "${env:REGION}" }
`)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	resolved := 0
	p, err := headers.Definition().Build(filter.Env{Secret: func(s secret.Template) (secret.Value, error) { resolved++; return secrets(s) }}, c)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b := &backend{res: http.Header{}}
		res, err := p.Adapt(b).RoundTrip(request())
		if err != nil {
			t.Fatal(err)
		}
		got := []string{b.got.Get("Authorization"), b.got.Get("X-Literal"), strings.Join(b.got["X-Both"], ","), res.Header.Get("X-Region")}
		want := []string{"Bearer <env TOKEN>", "cost ${env:TOKEN}", "<file /a>-<env B>,plain", "<env REGION>"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if resolved != 3 {
		t.Errorf("resolved %d times, want once for each of three values", resolved)
	}
	if strings.Contains(p.Note, "TOKEN") || strings.Contains(p.Note, "<") {
		t.Errorf("the note tells %q", p.Note)
	}
}

func TestSecretsThatCannotBeSentRefuseTheConfigWithoutBeingTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"${env:UNSET}":  "request.set.X-A: environment variable UNSET is not set or empty",
		"${env:BROKEN}": "request.set.X-A: the secret holds a line break",
	} {
		c, _ := decode(t, `request: { set: { X-A: "`+text+`" } }`)
		_, err := headers.Definition().Build(filter.Env{Secret: secrets}, c)
		if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "Evil") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func TestSecretsArePrintedByTheirReferences(t *testing.T) {
	t.Parallel()
	c, problems := decode(t, `request: { set: { A: "Bearer ${env:TOKEN}", B: "$${x} $$${env:A} ${file:/b}", C: "$${env:A}" } }`)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	printed := string(doc.Encode(*c))
	for _, want := range []string{`'Bearer ${env:TOKEN}'`, `'$${x} $$${env:A} ${file:/b}'`, `'$${env:A}'`} {
		if !strings.Contains(printed, want) {
			t.Errorf("%s is not in\n%s", want, printed)
		}
	}
	again, problems := decode(t, printed)
	if len(problems) > 0 || string(doc.Encode(*again)) != printed || again.Request.Set[2].Text != "${env:A}" {
		t.Errorf("read again it is %v\n%s", problems, doc.Encode(*again))
	}
	text := headers.Config{Request: headers.Change{Set: headers.Fields{{Name: "A", Text: "${env:A}"}}}} // an object's
	if again, _ := decode(t, string(doc.Encode(text))); again.Request.Set[0].Text != "${env:A}" || again.Request.Set[0].Secret != nil {
		t.Errorf("an object's text becomes %+v", again.Request.Set[0])
	}
}

func TestAnAmbiguousQueryIsTheClientsFault(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`request: { set: { X-Q: =query.q } }`, `response: { set: { X-Q: =query.q } }`} {
		r := request()
		exchange.Of(r).Query = "q=1;q=2"
		res, err := policy(t, text).Adapt(&backend{res: http.Header{}}).RoundTrip(r)
		if f := fault.From(err); f == nil || f.Code != fault.MalformedRequest.Code || res != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestBuildChecksConfigsThatNoFileHeld(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]*headers.Config{
		"X-A: 1:1: 'nope' is not a known name": {Request: headers.Change{Set: headers.Fields{{Name: "X-A", Expr: &config.Expr{Source: "nope"}}}}},
		"Content-Length cannot be":             {Response: headers.Change{Remove: []headers.Name{{Text: "content-length"}}}},
		"headers changes nothing":              {},
	} {
		_, err := headers.Definition().Build(filter.Env{}, c)
		if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(want)) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	// A value of an object is text, whatever it looks like.
	p, err := headers.Definition().Build(filter.Env{}, &headers.Config{Request: headers.Change{Set: headers.Fields{{Name: "X-A", Text: "=auth.sub"}}}})
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{}
	if _, err := p.Adapt(b).RoundTrip(request()); err != nil || b.got.Get("X-A") != "=auth.sub" {
		t.Errorf("%v, %v", b.got, err)
	}
}

func TestConfigIsPrintedAsItIsRead(t *testing.T) {
	t.Parallel()
	text := `request:
  set:
    X-A: "=auth.sub"
    X-B: [a, b]
  remove: [X-C]
`
	c, _ := decode(t, text)
	again, problems := decode(t, string(doc.Encode(*c)))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if len(again.Request.Set) != 3 || again.Request.Set[0].Expr.Source != "auth.sub" || again.Request.Set[2].Text != "b" || again.Request.Remove[0].Text != "X-C" {
		t.Errorf("%s", doc.Encode(*c))
	}
}

// Heads of lines, which lines are set in that were made with the config, come to the same as maps do.
func TestLinesChangeAsFieldsDo(t *testing.T) {
	t.Parallel()
	names := []string{"X-Aa", "X-Ab", "x-ab", "Y-Aa", "Long-Name", "X"} // some look alike
	random := rand.New(rand.NewPCG(1, 2))
	some := func(most int) (list []string) {
		for range random.IntN(most) {
			list = append(list, names[random.IntN(len(names))])
		}
		return list
	}
	for range 2000 {
		var c headers.Config
		for i, name := range some(4) {
			c.Request.Set = append(c.Request.Set, headers.Field{Name: name, Text: strconv.Itoa(i)})
		}
		for i, name := range some(3) {
			c.Request.Add = append(c.Request.Add, headers.Field{Name: name, Text: "more" + strconv.Itoa(i)})
		}
		for _, name := range append(some(3), "Z") {
			c.Request.Remove = append(c.Request.Remove, headers.Name{Text: name})
		}
		p, err := headers.Definition().Build(filter.Env{}, &c)
		if err != nil {
			t.Fatal(err)
		}
		fields, lines := request(), request()
		fields.Header, lines.Header = http.Header{}, exchange.Ordered()
		for i, name := range some(4) {
			exchange.RequestHead(fields).Add(name, "came"+strconv.Itoa(i))
			exchange.RequestHead(lines).Add(name, "came"+strconv.Itoa(i))
		}
		was := slices.Clone(exchange.LinesOf(lines.Header).List())
		for _, r := range []*http.Request{fields, lines} {
			if _, err := p.Adapt(&backend{}).RoundTrip(r); err != nil {
				t.Fatal(err)
			}
		}
		if exchange.Plain(lines); !maps.EqualFunc(fields.Header, lines.Header, slices.Equal) {
			t.Fatalf("%+v makes of %q\n%v, and as lines\n%v", c.Request, was, fields.Header, lines.Header)
		}
	}
}

// Texts are made lines once for all messages, and what is for errors is queued without memory of its own.
func TestFixedFieldsTakeNoMemoryOfARequest(t *testing.T) {
	p := policy(t, "request: { set: { X-A: a }, add: { X-B: b }, remove: X-C }\nresponse: { set: { X-D: d }, remove: X-E }")
	res := &http.Response{StatusCode: http.StatusOK, Header: exchange.Ordered(), Body: http.NoBody}
	adapted := p.Adapt(answer{res})
	guarded := p.Guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = adapted.RoundTrip(r) }))
	x := new(exchange.Exchange)
	r := exchange.With(httptest.NewRequest(http.MethodGet, "/", nil), x)
	r.Header = exchange.Ordered()
	in, out, deleted := exchange.LinesOf(r.Header), exchange.LinesOf(res.Header), field.Make("X-C", "c")
	n := testing.AllocsPerRun(100, func() {
		*x = exchange.Exchange{}
		in.Forget()
		out.Forget()
		exchange.AddLine(in, deleted)
		guarded.ServeHTTP(nil, r)
	})
	if n != 0 || in.Get("X-A") != "a" || in.Get("X-B") != "b" || in.Get("X-C") != "" || out.Get("X-D") != "d" {
		t.Errorf("%v allocations; %v, %v", n, in.List(), out.List())
	}
}

func BenchmarkAdapt(b *testing.B) {
	p := policy(b, `
request:
  set: { X-User: =auth.sub, X-Static: a }
  remove: X-None
`)
	next := p.Adapt(answer{&http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}})
	r := request()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := next.RoundTrip(r); err != nil {
			b.Fatal(err)
		}
	}
}

type answer struct{ res *http.Response }

func (a answer) RoundTrip(*http.Request) (*http.Response, error) { return a.res, nil }

// FuzzValueIsPrintedAsItIsRead holds that no value changes its meaning between
// text, secret and escape on its way through a printed config.
func FuzzValueIsPrintedAsItIsRead(f *testing.F) {
	for _, text := range []string{"", "a", "${env:A}", "Bearer ${file:/a}", "$${env:A}", "$$${env:A}", "$", "$${", "a$${b}${env:C}$"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.HasPrefix(text, "=") || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
			return // expressions, and what Parse refuses or no field can have
		}
		fields := func(value string) (headers.Fields, bool) {
			var ps doc.Problems
			var read headers.Fields
			read.DecodeDoc(&doc.Node{Kind: doc.Map, Entries: []doc.Entry{{Key: "A", Value: &doc.Node{Kind: doc.Scalar, Value: value}}}}, &ps)
			return read, !ps.Failed()
		}
		first, ok := fields(text)
		if !ok {
			return
		}
		second, ok := fields(first.EncodeDoc().Entries[0].Value.Value)
		if !ok || !reflect.DeepEqual(first, second) {
			t.Errorf("%q is printed as %q: %+v, then %+v", text, first.EncodeDoc().Entries[0].Value.Value, first, second)
		}
	})
}
