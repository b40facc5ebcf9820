package app_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
)

// TestAccessLogTellsWhatACompositionAsked holds that a failure that an else hides from
// the client is not hidden from operators.
func TestAccessLogTellsWhatACompositionAsked(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/fine":
			_, _ = w.Write([]byte(`{"ids": [1, 2]}`))
		case "/text":
			_, _ = w.Write([]byte("<html>"))
		default:
			http.Error(w, "no", http.StatusNotFound)
		}
	}))
	defer backend.Close()
	address := backend.Listener.Addr().String()
	w := newWorld(t, off+strings.ReplaceAll(`routes:
  GET /home:
    compose:
      fine: http://$/fine
      text: { to: "http://$/text", else: 1 }
      none: { to: "http://$/none", else: 1 }
      gone: { to: "http://127.0.0.1:1", else: 1 }
      bad: { to: "http://$", path: "/{=steps.fine.body.name}", else: 1 }
      each: { to: "http://$", path: "/{=item}", each: =steps.fine.body.ids, parallel: 1, else: =item }
`, "$", address))
	w.start()
	if status, body := get(t, w.url("/home")); status != http.StatusOK || body != `{"fine":{"ids": [1, 2]},"text":1,"none":1,"gone":1,"bad":1,"each":[1,2]}` {
		t.Fatalf("got %d %s", status, body)
	}
	await.That(t, "a line", func() bool { return w.entry("request") != nil })
	line := w.entry("request")
	told := fmt.Sprintln(line["steps"])
	for _, want := range []string{
		`fine 200 \S+ ` + address + `; `, `text 200 \S+ ` + address + `: its body: json: this is no value at byte 0`, `none 404 \S+ ` + address,
		`gone \S+ 127.0.0.1:1: [^;]*refused \(nothing was sent\)`, `bad 0s: expression "steps.fine.body.name": no such key: name`, `each 404 \S+ ` + address + `(; .*)?; each 404`,
	} {
		if !regexp.MustCompile(want).MatchString(told) {
			t.Errorf("the steps do not tell %s:\n%s", want, told)
		}
	}
	if line["backend"] != "compose:GET /home" || line["endpoint"] != nil || line["level"] != "INFO" {
		t.Errorf("the line is %v", line)
	}
}
