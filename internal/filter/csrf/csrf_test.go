package csrf_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/filter/csrf"
)

func decode(tb testing.TB, text string) (*csrf.Config, []doc.Problem) {
	tb.Helper()
	var ps doc.Problems
	c, ok := csrf.Definition().New().(*csrf.Config)
	if !ok {
		tb.Fatal("New gives no *Config")
	}
	doc.Decode(doc.Parse("test.yaml", []byte("csrf: "+text), &ps).Get("csrf"), c, &ps)
	return c, ps.Sorted()
}

func policy(tb testing.TB, text string, log *bytes.Buffer) filter.Policy {
	tb.Helper()
	c, problems := decode(tb, text)
	if len(problems) > 0 {
		tb.Fatal(problems)
	}
	p, err := csrf.Definition().Build(filter.Env{Route: "POST /", Log: slog.New(slog.NewTextHandler(log, nil))}, c)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// send tells what a request to https://shop.dev gets, and what explain says of it.
func send(p filter.Policy, method string, fields ...string) (int, filter.Verdict) {
	r := httptest.NewRequest(method, "https://shop.dev/", nil)
	for i := 0; i < len(fields); i += 2 {
		exchange.RequestHead(r).Add(fields[i], fields[i+1])
	}
	rec := httptest.NewRecorder()
	w, r := exchange.Begin(rec, r, &exchange.Exchange{ID: "id", Client: exchange.Client{Host: "shop.dev", Scheme: "https"}})
	verdict := p.Ask(r)
	p.Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })).ServeHTTP(w, r)
	w.Finish(nil)
	return rec.Code, verdict
}

func TestOnlyPagesOfThisOriginSend(t *testing.T) {
	t.Parallel()
	const origin, site = "Origin", "Sec-Fetch-Site"
	for _, c := range []struct {
		config, method string
		fields         []string
		want           int
	}{
		// Modern browsers say it.
		{`same-origin`, "POST", []string{site, "same-origin", origin, "https://shop.dev"}, 204},
		{`same-origin`, "POST", []string{site, "none"}, 204},
		{`same-origin`, "POST", []string{site, "cross-site", origin, "https://evil.dev"}, 403},
		{`same-origin`, "POST", []string{site, "same-site", origin, "https://blog.shop.dev"}, 403},
		{`same-origin`, "DELETE", []string{site, "cross-site"}, 403},
		{`same-origin`, "POST", []string{site, "anything"}, 403},
		{`same-origin`, "POST", []string{site, "same-origin", site, "cross-site"}, 403},
		{`same-origin`, "POST", []string{site, "", origin, "https://shop.dev"}, 403},
		// Older ones have an origin.
		{`same-origin`, "POST", []string{origin, "https://shop.dev"}, 204},
		{`same-origin`, "POST", []string{origin, "https://SHOP.dev"}, 204},
		{`same-origin`, "POST", []string{origin, "http://shop.dev"}, 204},
		{`same-origin`, "POST", []string{origin, "https://shop.dev:8443"}, 403},
		{`same-origin`, "POST", []string{origin, "https://evil.dev"}, 403},
		{`same-origin`, "POST", []string{origin, "null"}, 403},
		{`same-origin`, "POST", []string{origin, ""}, 403},
		{`same-origin`, "POST", []string{origin, "https://shop.dev", origin, "https://evil.dev"}, 403},
		// What is no browser has neither.
		{`same-origin`, "POST", nil, 204},
		// What changes nothing passes, a WebSocket does not.
		{`same-origin`, "GET", []string{site, "cross-site", origin, "https://evil.dev"}, 204},
		{`same-origin`, "OPTIONS", []string{site, "cross-site", origin, "https://evil.dev"}, 204},
		{`same-origin`, "GET", []string{"Upgrade", "websocket", origin, "https://evil.dev"}, 403},
		{`same-origin`, "GET", []string{"Upgrade", "websocket", origin, "https://shop.dev"}, 204},
		// Other origins may be trusted, whole.
		{`https://app.shop.dev`, "POST", []string{site, "same-site", origin, "https://app.shop.dev"}, 204},
		{`https://app.shop.dev`, "POST", []string{site, "cross-site", origin, "https://app.shop.dev.evil.dev"}, 403},
		{`https://app.shop.dev`, "POST", []string{site, "cross-site", origin, "http://app.shop.dev"}, 403},
		{`[https://a.dev, "https://b.dev:8443"]`, "POST", []string{site, "cross-site", origin, "https://b.dev:8443"}, 204},
		{`{ trust: https://a.dev }`, "POST", []string{site, "cross-site", origin, "https://c.dev"}, 403},
		{`{ dry_run: true }`, "POST", []string{site, "cross-site", origin, "https://c.dev"}, 204},
	} {
		var log bytes.Buffer
		status, verdict := send(policy(t, c.config, &log), c.method, c.fields...)
		if status != c.want || (verdict.Fault == nil) != (c.want == 204) || verdict.Why == "" {
			t.Errorf("%s, %s %v: %d, explain says %+v", c.config, c.method, c.fields, status, verdict)
		}
		if dry := strings.Contains(c.config, "dry_run"); dry != strings.Contains(log.String(), "msg=csrf decision=deny route=\"POST /\" request_id=id dry_run=true") {
			t.Errorf("%s: logged %s", c.config, log.String())
		}
	}
}

func TestMistakesAreTold(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`app.shop.dev`:               `"app.shop.dev" is no origin such as https://app.shop.dev; write`,
		`https://app.shop.dev/`:      `"https://app.shop.dev/" is more than an origin`,
		`"https://*.shop.dev"`:       `is more than an origin`,
		`https://u@shop.dev`:         `is more than an origin`,
		`https://shop.dev:443`:       `has the usual port of its scheme, which browsers leave out`,
		`https://shop.dev:99999`:     `has no host as browsers write it`,
		`https://shöp.dev`:           `has no host as browsers write it`,
		`{ trusted: https://a.dev }`: `did you mean "trust"?`,
	} {
		_, problems := decode(t, text)
		if len(problems) == 0 || !strings.Contains(problems[0].String(), want) {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}
