package app_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
)

// member is a backend that is told of WebSockets, and holds each message until leave is closed.
type member struct {
	*httptest.Server

	leave chan struct{}

	mu   sync.Mutex
	told []event
}

type event struct {
	RequestContext struct {
		RouteKey, DomainName string
		DisconnectStatusCode int
	}
}

func newMember(t *testing.T) *member {
	t.Helper()
	m := &member{leave: make(chan struct{})}
	m.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var e event
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			t.Error(err)
		}
		m.mu.Lock()
		m.told = append(m.told, e)
		m.mu.Unlock()
		if e.RequestContext.RouteKey == "$default" {
			<-m.leave
		}
	}))
	t.Cleanup(m.Close)
	return m
}

// of gives the events of a key.
func (m *member) of(key string) (list []event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.told {
		if e.RequestContext.RouteKey == key {
			list = append(list, e)
		}
	}
	return list
}

// socket opens a WebSocket.
func (w *world) socket(path string) (net.Conn, *bufio.Reader) {
	w.t.Helper()
	c, in := w.dial(path, "shop.dev")
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		w.t.Fatalf("%v, %v", res, err)
	}
	return c, in
}

// dial asks for one.
func (w *world) dial(path, host string) (net.Conn, *bufio.Reader) {
	w.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url(""), "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	_, _ = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	return c, bufio.NewReader(c)
}

// says sends a text of less than 126 bytes, and hears sees what comes back: a frame without a mask.
func says(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, "\x81"+string([]byte{0x80 | byte(len(text))})+"\x00\x00\x00\x00"+text); err != nil {
		t.Fatal(err)
	}
}

func hears(t *testing.T, in *bufio.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(in, got); err != nil || string(got) != want {
		t.Fatalf("the client hears %q, %v; want %q", got, err, want)
	}
}

// The function of a route is replaced while a client is connected, and then the route goes.
func TestWebSocketsFollowTheConfig(t *testing.T) {
	one, two := newMember(t), newMember(t)
	close(one.leave)
	close(two.leave)
	to := func(m *member) string { return "  GET /chat:\n    websocket: true\n    to: " + m.URL + "\n" }
	w := newWorld(t, off+"routes:\n"+to(one))
	w.run()
	c, in := w.socket("/chat")
	says(t, c, "first")
	await.That(t, "the first is told", func() bool { return len(one.of("$default")) == 1 })
	w.write(off + "routes:\n  GET /other: respond:two\n" + to(two))
	w.awaits("/other", "two")
	said := 1
	await.That(t, "the second is told", func() bool { // connections follow just after the routes
		says(t, c, "next")
		said++
		return len(two.of("$default")) > 0
	})
	await.That(t, "one of them is told of each message", func() bool { return len(one.of("$default"))+len(two.of("$default")) == said })
	before := len(one.of("$default"))
	w.write(off + "routes:\n  GET /other: respond:three\n")
	hears(t, in, "\x88\x0c\x03\xe9Going away")
	_ = c.Close()
	await.That(t, "the second is told of the end", func() bool { return len(two.of("$disconnect")) == 1 })
	if end := two.of("$disconnect")[0]; end.RequestContext.DisconnectStatusCode != 1001 {
		t.Errorf("it was told %+v", end)
	}
	if len(one.of("$default")) != before || len(one.of("$disconnect")) != 0 {
		t.Error("the first is told of it after it was replaced")
	}
}

// Clients say that they want shop.dev; functions are told so once a listener is called that.
func TestFunctionsAreToldOfHostsThatTheConfigNames(t *testing.T) {
	m := newMember(t)
	route := off + "routes:\n  GET /chat: { websocket: true, to: '" + m.URL + "' }\n  GET /: respond:"
	w := newWorld(t, route+"one\n")
	w.run()
	_, _ = w.socket("/chat")
	if got := m.of("$connect")[0].RequestContext.DomainName; "http://"+got != w.url("") {
		t.Errorf("the domain is %q, and it listens at %s", got, w.url(""))
	}
	if err := os.WriteFile(w.path, []byte("listen:\n  web: { address: 127.0.0.1:0, hostname: shop.dev }\n"+route+"two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	await.That(t, "the listener has its name", func() bool {
		c, in := w.dial("/chat", "other.test")
		defer c.Close()
		res, err := http.ReadResponse(in, nil)
		return err == nil && res.StatusCode == http.StatusNotFound
	})
	_, _ = w.socket("/chat")
	if all := m.of("$connect"); all[len(all)-1].RequestContext.DomainName != "shop.dev" {
		t.Errorf("the domain is %q", all[len(all)-1].RequestContext.DomainName)
	}
}

// quiet tells whether no client is connected, by the metrics, which are told until the very end.
func (w *world) quiet() bool {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+w.app.AdminAddress()+"/metrics", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer right")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(r)
	if err != nil {
		return true // they have ended
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "weir_connections_open") && !strings.HasSuffix(line, " 0\n") {
			return false
		}
	}
	return true
}

// The client has gone, and its last message is still with a function: that is told of the end
// before the gateway ends.
func TestTheEndWaitsUntilFunctionsAreToldOfIt(t *testing.T) {
	m := newMember(t)
	w := newWorld(t, "admin: { address: 127.0.0.1:0, token: right }\nshutdown: { drain: 1m }\nroutes:\n  GET /chat:\n    websocket: true\n    to: "+m.URL+"\n")
	o := w.options()
	o.Drain = time.Minute
	stop := w.runs(o)
	c, in := w.socket("/chat")
	says(t, c, "hi")
	await.That(t, "the message is with the function", func() bool { return len(m.of("$default")) == 1 })
	told := make(chan []event)
	go func() {
		stop()
		told <- m.of("$disconnect") // what it knew when the gateway had ended
	}()
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil || string(head[:]) != "\x88\x1b\x03\xe9" {
		t.Errorf("the client hears %q, %v", head, err)
	}
	_ = c.Close()
	await.That(t, "its connection has gone", func() bool { return w.quiet() })
	close(m.leave)
	if ends := <-told; len(ends) != 1 || ends[0].RequestContext.DisconnectStatusCode != 1001 {
		t.Errorf("it was told %+v", ends)
	}
	if w.entry("request") == nil {
		t.Errorf("the connection is not logged: %s", w.log.String())
	}
}
