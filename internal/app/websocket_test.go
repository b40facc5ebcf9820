package app_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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
		RouteKey             string
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
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url(""), "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	_, _ = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: shop.dev\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
	in := bufio.NewReader(c)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		w.t.Fatalf("%v, %v", res, err)
	}
	return c, in
}

// The client has gone, and its last message is still with a function: that is told of the end
// before the gateway ends.
func TestTheEndWaitsUntilFunctionsAreToldOfIt(t *testing.T) {
	m := newMember(t)
	w := newWorld(t, "shutdown: { drain: 1m }\nroutes:\n  GET /chat:\n    websocket: true\n    to: "+m.URL+"\n")
	o := w.options()
	o.Drain = time.Minute
	stop := w.runs(o)
	c, in := w.socket("/chat")
	if _, err := c.Write([]byte("\x81\x82\x00\x00\x00\x00hi")); err != nil {
		t.Fatal(err)
	}
	await.That(t, "the message is with the function", func() bool { return len(m.of("$default")) == 1 })
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil || string(head[:]) != "\x88\x1b\x03\xe9" {
		t.Errorf("the client hears %q, %v", head, err)
	}
	_ = c.Close()
	select {
	case <-stopped:
		t.Error("the gateway has ended with a message under way")
	case <-time.After(300 * time.Millisecond): // longer than it took without waiting
	}
	close(m.leave)
	<-stopped
	if ends := m.of("$disconnect"); len(ends) != 1 || ends[0].RequestContext.DisconnectStatusCode != 1001 {
		t.Errorf("it was told %+v", ends)
	}
	if w.entry("request") == nil {
		t.Errorf("the connection is not logged: %s", w.log.String())
	}
}
