//go:build unix

package listen_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/wire/listen"
)

// Bytes that arrived together with a PROXY header are read before what arrives later on the connection.
func TestContentBehindAnAnnouncementStaysInItsOrder(t *testing.T) {
	address := start(t, listen.Options{Handler: http.HandlerFunc(echo), Announced: loopback})
	h := announcement("198.51.100.7:1")
	head := string(h.AppendV2(nil)) + "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4090\r\n\r\n"
	for _, first := range []int{0, 1, 100, 2000, 4000, 4050, 4055, 4060, 4070, 4080, 4089, 4090} {
		conn := dial(t, address)
		content := strings.Repeat("a", first) + strings.Repeat("b", 4090-first)
		send(t, conn, head+content[:first])
		send(t, conn, content[first:])
		if got := receive(t, bufio.NewReader(conn)).body; !strings.Contains(got, content) {
			t.Errorf("of %d bytes and then the rest there came %d: %.20q", first, len(got), got)
		}
	}
}

// A handler need not wait for content that has already arrived, even if it is a little longer than what one read
// returns.
func TestContentThatHasComeWithItsHeadIsThereBeforeTheHandlerReads(t *testing.T) {
	if *engine != "own" {
		t.Skip("net/http's server tells nobody what has come")
	}
	type content interface{ Buffered() int }
	address := start(t, listen.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		here := 0
		if c, ok := r.Body.(content); ok {
			here = c.Buffered()
		}
		text, err := io.ReadAll(r.Body)
		_, _ = fmt.Fprintf(w, "%d %t %v", here, string(text) == strings.Repeat("a", len(text)), err)
	})})
	for _, test := range []struct{ sent, announced, here int }{
		{4096, 4096, 4096},
		{4000, 4096, 4000}, // the rest is sent once the handler waits for it
		{9000, 9000, -1},   // more than there is room for
	} {
		conn := dial(t, address)
		request := fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", test.announced)
		send(t, conn, request+strings.Repeat("a", test.sent))
		send(t, conn, strings.Repeat("a", test.announced-test.sent))
		r := bufio.NewReader(conn)
		for range 2 {
			var here int
			got := receive(t, r).body
			if _, err := fmt.Sscanf(got, "%d true <nil>", &here); err != nil || here < test.here || test.here < 0 && here >= test.announced {
				t.Errorf("of %d bytes that were sent of %d: %q", test.sent, test.announced, got)
			}
			send(t, conn, request+strings.Repeat("a", test.announced)) // the next request finds the same
		}
	}
}
