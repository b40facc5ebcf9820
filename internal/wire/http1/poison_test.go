//go:build poison

package http1_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// A handler of lines that has kept parts of a request against the rules finds them scrambled, and the writer of a
// previous request writes nothing.
func TestWhatIsKeptOfLinesIsPoisoned(t *testing.T) {
	var head exchange.Head
	var url func() string
	var writer http.ResponseWriter
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if head == nil {
			head, url, writer = exchange.RequestHead(r), r.URL.String, w
			return
		}
		if got := head.Get("X-Kept"); got != "" {
			t.Errorf("a field of the request before is %q", got)
		}
		if got := url(); got == "/first" {
			t.Errorf("the URL of the request before is %q", got)
		}
		if _, err := io.WriteString(writer, "late"); err == nil {
			t.Error("the writer of the request before writes")
		}
	})
	got := byOwn(t, h, "GET /first HTTP/1.1\r\nHost: a\r\nX-Kept: yes\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", true)
	if strings.Count(got, "HTTP/1.1 200 OK") != 2 || strings.Contains(got, "late") {
		t.Errorf("got %q", got)
	}
}
