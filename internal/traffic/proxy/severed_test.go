package proxy_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// What follows are conversations in which the client waits for its backend, and the backend is lost. Nobody says another word
// then, so that only the gateway can end it.

func TestAConversationEndsWithItsBackend(t *testing.T) {
	both(t, func(t *testing.T, front, back string) {
		t.Helper()
		over := make(chan struct{})
		g := start(t, setup{protocol: back}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := http.NewResponseController(w)
			_ = c.EnableFullDuplex()
			heard := make([]byte, len("how are you?"))
			_, _ = io.ReadFull(r.Body, heard)
			_, _ = io.WriteString(w, "well")
			_ = c.Flush()
			<-over
		}))
		said, say := io.Pipe()
		defer func() { _ = say.Close() }()
		go func() { _, _ = io.WriteString(say, "how are you?") }()
		res := do(t, client(t, front), request(t, "POST", g.URL+"/", said))
		got := make([]byte, len("well"))
		if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != "well" {
			t.Fatalf("%q %v", got, err)
		}
		g.backend.CloseClientConnections()
		defer close(over)
		if rest, err := io.ReadAll(res.Body); err == nil {
			t.Errorf("a conversation that was cut looks whole: %q", rest)
		}
		if code := await.From(t, "the end", g.faults); code != "backend-reset" {
			t.Errorf("fault %q", code)
		}
		await.That(t, "the end of the request in flight", g.idleAgain)
	})
}

func TestAConversationThatMayBeginAgainDoes(t *testing.T) {
	for _, front := range []string{transport.HTTP, transport.H2C} {
		var times atomic.Int32
		g := start(t, setup{protocol: transport.H2C, retry: 1}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := http.NewResponseController(w)
			_ = c.EnableFullDuplex()
			heard := make([]byte, len("how are you?"))
			_, _ = io.ReadFull(r.Body, heard)
			if times.Add(1) == 1 {
				panic(http.ErrAbortHandler)
			}
			_, _ = io.WriteString(w, string(heard)+" well")
			_ = c.Flush()
			_, _ = io.Copy(w, r.Body)
		}))
		said, say := io.Pipe()
		go func() { _, _ = io.WriteString(say, "how are you?") }()
		res := do(t, client(t, front), request(t, "PUT", g.URL+"/", said))
		go func() {
			_, _ = io.WriteString(say, strings.Repeat(".", 100_000))
			_ = say.Close()
		}()
		if got := read(t, res.Body); res.StatusCode != http.StatusOK || got != "how are you? well"+strings.Repeat(".", 100_000) {
			t.Errorf("%d, %d bytes: %.40q", res.StatusCode, len(got), got)
		}
		if n := times.Load(); n != 2 {
			t.Errorf("the backend was asked %d times", n)
		}
	}
}
