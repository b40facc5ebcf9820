package reconcile_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
)

// streams is a backend that speaks over HTTP a line at once and one when tick is
// closed, and after an upgrade what it is sent.
func streams(t *testing.T, tick <-chan struct{}) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			_, _ = io.Copy(c, rw)
			return
		}
		_, _ = io.WriteString(w, "tick\n")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-tick:
			_, _ = io.WriteString(w, "tick\n")
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// listenTo opens a stream and reads its first line.
func listenTo(t *testing.T, c *http.Client, url string) *bufio.Reader {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	r := bufio.NewReader(res.Body)
	if line, err := r.ReadString('\n'); err != nil || line != "tick\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	return r
}

// upgrade opens a connection that echoes.
func upgrade(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, "GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("got %v, %v", res, err)
	}
	return c
}

// TestALongStreamHoldsNoOldSnapshot opens a stream over HTTP/1.1, one over HTTP/2, as
// gRPC's are, and an upgraded connection on each of a hundred snapshots: all but the
// one that serves must be collected while the streams live on.
func TestALongStreamHoldsNoOldSnapshot(t *testing.T) {
	w := newWorld(t)
	tick := make(chan struct{})
	backend := streams(t, tick)
	const reloads = 100
	var collected atomic.Int64
	var lines []*bufio.Reader
	var upgraded []net.Conn
	client, h2 := newClient(t), newClient(t)
	client.Timeout, h2.Timeout = 0, 0
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	h2.Transport.(*http.Transport).Protocols = &protocols
	for i := range reloads {
		w.apply(fmt.Sprintf("listen: 127.0.0.1:0\nroutes:\n  ANY /**:\n    headers: { response: { set: { X-Reload: '%d' } } }\n    to: %s\n  GET /other%d: respond:other\n", i, backend, i))
		runtime.AddCleanup(w.gateway.Current(), func(*atomic.Int64) { collected.Add(1) }, &collected)
		runtime.AddCleanup(w.reconciler.Config(), func(*atomic.Int64) { collected.Add(1) }, &collected)
		lines = append(lines, listenTo(t, client, "http://"+w.address()+"/x"), listenTo(t, h2, "http://"+w.address()+"/x"))
		upgraded = append(upgraded, upgrade(t, w.address()))
	}
	await.That(t, "no old snapshot and no old config is held", func() bool {
		runtime.GC()
		return collected.Load() == 2*(reloads-1)
	})
	close(tick) // all streams speak
	var hear sync.WaitGroup
	for i := range lines {
		hear.Go(func() {
			if line, err := lines[i].ReadString('\n'); err != nil || line != "tick\n" {
				t.Errorf("stream %d: %q, %v", i, line, err)
			}
		})
	}
	hear.Wait()
	for i, c := range upgraded {
		text := fmt.Sprintf("hello %d", i)
		got := make([]byte, len(text))
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
			t.Errorf("upgraded connection %d: %q, %v", i, got, err)
		}
	}
}
