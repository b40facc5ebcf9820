package body_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/filter/body"
)

func decode(tb testing.TB, text string) (*body.Config, []doc.Problem) {
	tb.Helper()
	var ps doc.Problems
	c, ok := body.Definition().New().(*body.Config)
	if !ok {
		tb.Fatal("New gives no *Config")
	}
	doc.Decode(doc.Parse("test.yaml", []byte("body: "+text), &ps).Get("body"), c, &ps)
	return c, ps.Sorted()
}

func TestALengthThatIsKnownIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config string
		length int64 // -1: not known
		status int
		bound  int64
	}{
		{`10B`, 10, 204, 10},
		{`10B`, 11, 413, 10},
		{`10B`, -1, 204, 10}, // the proxy holds it while it comes
		{`{ max: 1KiB }`, 1025, 413, 1024},
		{`unlimited`, 1 << 50, 204, 0},
		{`{ max: unlimited }`, 1 << 50, 204, 0},
	} {
		made, problems := decode(t, c.config)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		p, err := body.Definition().Build(filter.Env{}, made)
		if err != nil {
			t.Fatal(err)
		}
		if p.BodyBytes == nil || *p.BodyBytes != c.bound {
			t.Errorf("%s: the bound is %v, want %d", c.config, p.BodyBytes, c.bound)
		}
		rec := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.ContentLength = c.length
		w, r := exchange.Begin(rec, r, &exchange.Exchange{})
		verdict := p.Ask(r)
		p.Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })).ServeHTTP(w, r)
		w.Finish(nil)
		if rec.Code != c.status || (verdict.Fault == nil) != (c.status == 204) {
			t.Errorf("%s with %d bytes: %d, explain says %v", c.config, c.length, rec.Code, verdict)
		}
	}
}

func TestMistakesAreTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`0B`:                   `a body of 0B could mean no body or no bound`,
		`{ max: 0MB }`:         `a body of 0B could mean no body or no bound`,
		`10`:                   `a size needs a unit`,
		`{ }`:                  `"max" is missing`,
		`{ max: 1MB, rat: 1 }`: `unknown key "rat"`,
		`[1MB]`:                `a list`,
	} {
		_, problems := decode(t, text)
		if len(problems) == 0 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}
