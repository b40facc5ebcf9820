package respond_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/filter/respond"
)

func decode(tb testing.TB, text string) (*respond.Config, []doc.Problem) {
	tb.Helper()
	var ps doc.Problems
	c, ok := respond.Definition().New().(*respond.Config)
	if !ok {
		tb.Fatal("New gives no *Config")
	}
	doc.Decode(doc.Parse("test.yaml", []byte("respond: "+text), &ps).Get("respond"), c, &ps)
	return c, ps.Sorted()
}

func request(method string) *http.Request {
	r := httptest.NewRequest(method, "/a", strings.NewReader("x"))
	x := &exchange.Exchange{Path: "/a", Query: "n=1"}
	x.Params.Add("user", "ann")
	return exchange.With(r, x)
}

func answer(tb testing.TB, text, method string) (*http.Response, error) {
	tb.Helper()
	c, problems := decode(tb, text)
	if len(problems) > 0 {
		tb.Fatalf("%s: %v", text, problems)
	}
	p, err := respond.Definition().Build(filter.Env{}, c)
	if err != nil {
		tb.Fatal(err)
	}
	return p.Adapt(nil).RoundTrip(request(method))
}

func TestRespondAnswers(t *testing.T) {
	t.Parallel()
	const text, json = "text/plain; charset=utf-8", "application/json"
	for _, c := range []struct {
		config string
		status int
		kind   string
		body   string
	}{
		{`204`, 204, "", ""},
		{`404`, 404, "", ""},
		{`"404"`, 200, text, "404"},
		{`hello`, 200, text, "hello"},
		{`{ status: 503, body: back soon }`, 503, text, "back soon"},
		{`{ headers: { X-A: b } }`, 204, "", ""},
		{`{ body: { ok: true, n: 9007199254740993, f: 1.10, s: "1", w: 010, l: [2, <a>] } }`, 200, json, `{"f":1.10,"l":[2,"<a>"],"n":9007199254740993,"ok":true,"s":"1","w":"010"}`},
		{`{ body: [] }`, 200, json, `[]`},
		{`{ body: "<p>", headers: { Content-Type: text/html } }`, 200, "text/html", "<p>"},
		{`"='hello ' + path.user"`, 200, text, "hello ann"},
		{`{ status: 201, body: "={'user': path.user, 'n': int(query.n)}" }`, 201, json, `{"n":1,"user":"ann"}`},
	} {
		for _, method := range []string{http.MethodPost, http.MethodHead} {
			res, err := answer(t, c.config, method)
			if err != nil {
				t.Errorf("%s: %v", c.config, err)
				continue
			}
			body, err := io.ReadAll(res.Body)
			want := c.body
			if method == http.MethodHead {
				want = ""
			}
			length := strconv.Itoa(len(c.body))
			if c.status == http.StatusNoContent {
				length = ""
			}
			if err != nil || res.StatusCode != c.status || string(body) != want || res.Header.Get("Content-Type") != c.kind || res.Header.Get("Content-Length") != length {
				t.Errorf("%s %s: %d %v %q, %v", method, c.config, res.StatusCode, res.Header, body, err)
			}
		}
	}
}

func TestResponsesShareNothing(t *testing.T) {
	t.Parallel()
	c, _ := decode(t, `{ body: a, headers: { X-A: b } }`)
	p, err := respond.Definition().Build(filter.Env{}, c)
	if err != nil {
		t.Fatal(err)
	}
	rt := p.Adapt(nil)
	first, err := rt.RoundTrip(request(http.MethodGet))
	if err != nil {
		t.Fatal(err)
	}
	first.Header.Set("X-A", "changed")
	first.Header.Del("Content-Type")
	second, err := rt.RoundTrip(request(http.MethodGet))
	if err != nil || second.Header.Get("X-A") != "b" || second.Header.Get("Content-Type") == "" || p.Note != "200 OK" {
		t.Errorf("%v, %v, note %q", second.Header, err, p.Note)
	}
}

func TestABodyThatCannotBeComputedIsAnError(t *testing.T) {
	t.Parallel()
	_, err := answer(t, `"=string(auth.claims.role)"`, http.MethodGet)
	if f, ok := errors.AsType[*fault.Fault](err); !ok || f.Status != http.StatusInternalServerError {
		t.Errorf("%v", err)
	}
}

func TestAnAmbiguousQueryIsTheClientsFault(t *testing.T) {
	t.Parallel()
	c, _ := decode(t, `"='page ' + query.n"`)
	p, err := respond.Definition().Build(filter.Env{}, c)
	if err != nil {
		t.Fatal(err)
	}
	r := request(http.MethodGet)
	exchange.Of(r).Query = "n=1;n=2"
	_, err = p.Adapt(nil).RoundTrip(r) //nolint:bodyclose // there is no response
	if f := fault.From(err); f == nil || f.Code != fault.MalformedRequest.Code {
		t.Errorf("%v", err)
	}
}

func TestMistakesAreTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`99`:                                 `99 is not a final status`,
		`101`:                                `101 is not a final status`,
		`{ status: 204, body: a }`:           `a response with status 204 has no body`,
		`{ headers: { Content-Length: 3 } }`: `Content-Length cannot be set`,
		`{ headers: { "X A": b } }`:          `"X A" is not the name of a field`,
		`{ headers: { X-A: "a\nb" } }`:       `holds a line break`,
		`[1]`:                                `respond is a list here`,
		`{ staus: 200 }`:                     `did you mean "status"?`,
	} {
		_, problems := decode(t, text)
		if len(problems) == 0 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}

func TestMistakesInTheExpressionAreToldWhereTheyStand(t *testing.T) {
	t.Parallel()
	vocabulary := config.Vocabulary{Filters: []config.Kind{respond.Definition().Kind()}}
	for text, want := range map[string]string{
		`{ body: =auth.sup }`:       `test.yaml:4:27: body: 'auth' has no field 'sup'; did you mean 'sub'?`,
		`{ body: =request.body.a }`: `test.yaml:4:23: body reads the body of the request`,
	} {
		file := "listen: :8080\nroutes:\n  GET /:\n    respond: " + text + "\n"
		problems := config.Load([]config.Source{{Path: "test.yaml", Data: []byte(file)}}, vocabulary).Problems
		if len(problems) != 1 || !strings.HasPrefix(problems[0].String(), want) {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}

func BenchmarkRespond(b *testing.B) {
	c, _ := decode(b, `{ body: hello, headers: { X-A: b } }`)
	p, err := respond.Definition().Build(filter.Env{}, c)
	if err != nil {
		b.Fatal(err)
	}
	rt, r := p.Adapt(nil), request(http.MethodGet)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rt.RoundTrip(r); err != nil {
			b.Fatal(err)
		}
	}
}
