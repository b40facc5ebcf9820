package attack_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

// startLiar is a name server that knows one address for every name: this machine's.
func startLiar(t *testing.T) (address string, asked *atomic.Int64) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked = new(atomic.Int64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer := lie(buf[:n]); answer != nil {
				asked.Add(1)
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return conn.LocalAddr().String(), asked
}

// lie answers a question with 127.0.0.1, nil for what is none.
func lie(question []byte) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(question)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true, RecursionAvailable: true}, Questions: []dnsmessage.Question{q}}
	if q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
		}}
	}
	answer, err := m.Pack()
	if err != nil {
		return nil
	}
	return answer
}

// TestNamesThatLeadInside is DNS rebinding: a group's backend has a name of the Internet, which
// leads to the gateway's own machine. Whoever runs the gateway may call that, the group may not
// until it has the right.
func TestNamesThatLeadInside(t *testing.T) {
	var calls atomic.Int64
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	t.Cleanup(inner.Close)
	_, port, err := net.SplitHostPort(inner.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	names, asked := startLiar(t)
	config := filepath.Join(t.TempDir(), "weir.yaml")
	write := func(reach string) {
		t.Helper()
		text := fmt.Sprintf("listen: :8080\nresolver: '%s'\ngroups:\n  team:%s\n    routes:\n      GET /team: http://partner.example.com:%s\n      GET /step: { compose: { a: 'http://partner.example.com:%s/' } }\nroutes:\n  GET /operator: http://partner.example.com:%s\n",
			names, reach, port, port, port)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	w := &world{gateway: weirtest.Start(t, config)}
	for range 3 { // with connections that the operator's requests have left open
		if status := w.send(t, get("/operator", "X-Nothing: 1")); status != 200 || calls.Swap(0) != 1 {
			t.Fatalf("the operator's route: %d, after %d questions", status, asked.Load())
		}
		for _, path := range []string{"/team", "/step"} {
			if status := w.send(t, get(path, "X-Nothing: 1")); status != 502 || calls.Load() > 0 {
				t.Fatalf("%s: %d, and the backend was called %d times", path, status, calls.Load())
			}
		}
	}
	await.That(t, "the log tells of it", func() bool {
		log := w.gateway.Log()
		return strings.Contains(log, "a backend is where it may not be") && strings.Contains(log, "backend-forbidden")
	})
	write("\n    reach: 127.0.0.0/8")
	await.That(t, "the group has the right", func() bool { return w.send(t, get("/team", "X-Nothing: 1")) == 200 })
}
