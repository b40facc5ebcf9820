package proxy_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// In the following conversations the client waits for its backend, and the backend is lost. Neither side sends
// anything more, so that only the gateway can end the conversation.

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

// lose ends a request, and its connection over HTTP/1.1, without waiting for the rest of its body.
func lose(c *http.ResponseController) {
	_ = c.SetReadDeadline(time.Unix(1, 0))
	panic(http.ErrAbortHandler)
}

func TestAConversationThatMayBeginAgainDoes(t *testing.T) {
	both(t, func(t *testing.T, front, back string) {
		t.Helper()
		var times atomic.Int32
		g := start(t, setup{protocol: back, retry: 1}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := http.NewResponseController(w)
			_ = c.EnableFullDuplex()
			heard := make([]byte, len("how are you?"))
			_, _ = io.ReadFull(r.Body, heard)
			if times.Add(1) == 1 {
				lose(c)
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
	})
}

func TestAConversationThatMayNotBeginAgainEnds(t *testing.T) {
	for name, length := range map[string]int{"one that was short": 12, "one that is held no longer": 100_000} {
		both(t, func(t *testing.T, front, back string) {
			t.Helper()
			var times atomic.Int32
			g := start(t, setup{protocol: back, retry: 1}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				times.Add(1)
				_, _ = io.ReadFull(r.Body, make([]byte, length))
				lose(http.NewResponseController(w))
			}))
			for _, method := range []string{"POST", "PUT"} {
				if length == 12 && method == "PUT" {
					continue
				}
				times.Store(0)
				said, say := io.Pipe()
				go func() { _, _ = io.WriteString(say, strings.Repeat("?", length)) }()
				res := do(t, client(t, front), request(t, method, g.URL+"/", said))
				if got := read(t, res.Body); res.StatusCode != http.StatusBadGateway || !strings.Contains(got, "backend-reset") {
					t.Errorf("%s, %s: %d %s", name, method, res.StatusCode, got)
				}
				if n := times.Load(); n != 1 {
					t.Errorf("%s, %s: the backend was asked %d times", name, method, n)
				}
				_ = say.Close()
			}
			await.That(t, "the end of the request in flight", g.idleAgain)
		})
	}
}

// A backend may answer and close its connection while the client is still sending its content.
func TestAnAnswerBeforeTheEndOfTheContentIsPassedOn(t *testing.T) {
	for _, front := range []string{transport.HTTP, transport.H2C} {
		for _, method := range []string{"POST", "PUT"} {
			g := start(t, setup{retry: 1, addresses: []string{answering(t, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")}}, nil)
			said, say := io.Pipe()
			go func() { _, _ = io.WriteString(say, "how are you?") }()
			res := do(t, client(t, front), request(t, method, g.URL+"/", said))
			if got := read(t, res.Body); res.StatusCode != http.StatusRequestEntityTooLarge || got != "" {
				t.Errorf("%s from %s: %d %q", method, front, res.StatusCode, got)
			}
			_ = say.Close()
		}
	}
}

// answering sends text on each connection on which something has arrived, and closes it.
func answering(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				head := make([]byte, 4096)
				for said := ""; !strings.Contains(said, "how are you?"); {
					n, err := c.Read(head)
					if err != nil {
						break
					}
					said += string(head[:n])
				}
				_, _ = io.WriteString(c, text)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}
