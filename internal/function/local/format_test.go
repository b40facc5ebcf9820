package local

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/form/apigw"
	"github.com/weir-gateway/weir/internal/function/local/program"
)

func TestABodyIsTheEventWhereTheFormatIsRaw(t *testing.T) {
	b := start(t, &records{}, func(c *Config) { c.Run, c.Contract, c.Format = testFunction(t, "lambda"), program.Lambda, apigw.Raw })
	ask := func(body string) (*http.Response, error) {
		r := httptest.NewRequest(http.MethodPost, "/somewhere", strings.NewReader(body))
		return b.RoundTrip(exchange.With(r, &exchange.Exchange{Path: "/somewhere"}))
	}
	const event = `{"rawPath":"/event","id":9007199254740993}`
	res, err := ask(event)
	must(t, err)
	defer res.Body.Close()
	var answer struct {
		StatusCode int
		Body       string
	}
	must(t, json.NewDecoder(res.Body).Decode(&answer))
	if res.StatusCode != http.StatusOK || answer.StatusCode != http.StatusOK || answer.Body != event {
		t.Errorf("%d %+v", res.StatusCode, answer)
	}
	if _, err := ask(`{"rawPath":`); fault.From(err).Code != fault.MalformedBody.Code { //nolint:bodyclose // there is no response
		t.Errorf("what is no event: %v", err)
	}
}

func TestAnEventHasTheFormatThatTheFunctionIsFor(t *testing.T) {
	for format, want := range map[apigw.Format]string{"": `"version":"2.0"`, apigw.V1: `"version":"1.0"`, apigw.ALB: `"elb":`} {
		l := newLambda(function.Env{}, "orders", &Config{Format: format}, program.Program{})
		r := httptest.NewRequest(http.MethodGet, "/orders", nil)
		event, err := l.event(exchange.With(r, &exchange.Exchange{Path: "/orders"}))
		if err != nil || !strings.Contains(string(event), want) {
			t.Errorf("%q: %s, %v; want %s", format, event, err, want)
		}
	}
}

func TestAFormatIsForEvents(t *testing.T) {
	for format, want := range map[apigw.Format]string{
		"v3":      "format: \"v3\" is none of v2, v1, alb, alb-multi, raw",
		apigw.Raw: "format: this function has the contract http, and events are for those with lambda",
	} {
		c := defaults()
		c.Run, c.Contract, c.Format = testFunction(t, "web"), program.HTTP, format
		env := function.Env{Secret: secret.Resolve, Dir: t.TempDir()}
		if err := guarded(t).Check(env, &c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", format, err, want)
		}
	}
}
