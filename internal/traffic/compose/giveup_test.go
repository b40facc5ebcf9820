package compose_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// lentBody is the body of a response whose memory is reused.
type lentBody struct {
	io.ReadCloser

	closed, released *bool
}

func (b lentBody) Close() error {
	*b.closed = true
	return b.ReadCloser.Close()
}

func (b lentBody) Release() (request bool) {
	*b.released = *b.closed
	return true
}

// A response is given up as soon as nothing reads it any more, and not before.
func TestAResponseIsGivenUpWhenItWasRead(t *testing.T) {
	for name, c := range map[string]struct {
		route string
		want  bool
	}{
		"its body is merged":      {"a: http://a", true},
		"its body is looked into": {"{ compose: { a: http://a }, return: =steps.a.body.id }", true},
		"nobody reads it":         {"{ compose: { a: http://a }, return: 1 }", true},
		"it is a failure":         {"{ compose: { a: { to: \"http://a\", status: { 200: fail }, else: 1 } } }", true},
		"its head is read":        {"{ compose: { a: http://a }, return: =steps.a.headers.etag }", false},
		"it is the answer":        {"{ compose: { a: { to: \"http://a\", status: { 200: pass } } } }", false},
		"its cache may keep it":   {"{ compose: { a: { to: \"http://a\", cache: 1m } } }", false},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.HasPrefix(c.route, "{") {
				c.route = "{ compose: { " + c.route + " } }"
			}
			closed, released := false, false
			w := world{"a": func(r *http.Request) (*http.Response, error) {
				res, err := reply(r, http.StatusOK, `{"id":"7"}`)
				exchange.ResponseHead(res).Set("Etag", `"7"`)
				res.Body = lentBody{res.Body, &closed, &released}
				return res, err
			}}
			res, err := w.route(t, "  GET /{user}: "+c.route+"\n").RoundTrip(request(http.MethodGet, "/7", ""))
			if err != nil || res.StatusCode != http.StatusOK {
				t.Fatal(res, err)
			}
			if _, err := io.ReadAll(res.Body); err != nil {
				t.Error(err)
			}
			if !closed || released != c.want {
				t.Errorf("it was closed: %t, and given up: %t", closed, released)
			}
		})
	}
}

// A caller that has read an answer may reuse the request of that answer: no call of the composition holds it.
func TestTheRequestOfAnAnswerIsNobodys(t *testing.T) {
	res, err := world{"a": says(http.StatusOK, "1")}.route(t, "  GET /{user}: { compose: { a: http://a } }\n").RoundTrip(request(http.MethodGet, "/7", ""))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if !exchange.Release(res) {
		t.Error("somebody has it")
	}
}
