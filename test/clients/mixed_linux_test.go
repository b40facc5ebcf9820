package clients_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

// mixing is how long the mixed load goes on; `make soak-engine` runs it for half an hour.
var mixing = flag.Duration("mixed", 3*time.Second, "how long clients of all manners use the engine of our own")

// mixed is a gateway with our own engine, under load of all kinds.
type mixed struct {
	*soak

	seed       uint64
	number     atomic.Uint64 // of the next conversation
	generation int           // of the config
	origins    [2]*httptest.Server
	clients    []*http.Client
}

// TestMixedLoad has all kinds of clients use our own engine while the config changes. They exchange contents of all
// sizes in every framing both ways and pipeline requests. There are clients that are slow, reset, half-close or
// upgrade, and backends that answer early or break off. No byte may be wrong, nothing that broke off may look
// complete, and at the end the gateway holds what it held after a quarter of the time.
func TestMixedLoad(t *testing.T) {
	m := startMixed(t)
	m.play(*mixing / 4)
	before := m.afterwards()
	t.Logf("after %s: %s", *mixing/4, before)
	m.play(*mixing - *mixing/4)
	after := m.afterwards()
	t.Logf("after %s and %d configs: %s", *mixing, m.generation, after)
	if after.goroutines > before.goroutines+moreGoroutines || after.files > before.files+moreFiles || after.heap > before.heap+moreHeap {
		t.Errorf("more is held than before: %s, then %s", before, after)
		m.dump()
	}
}

func startMixed(t *testing.T) *mixed {
	t.Helper()
	t.Setenv("WEIR_TEST_OPERATOR", "operator")
	m := &mixed{soak: &soak{t: t, folder: t.TempDir()}, seed: rand.Uint64()}
	t.Logf("seed %d", m.seed)
	for i := range m.origins {
		m.origins[i] = httptest.NewServer(manyManners())
		t.Cleanup(m.origins[i].Close)
	}
	m.write(m.config())
	m.gateway = weirtest.Start(t, filepath.Join(m.folder, "weir.yaml"), "--engine", "own", "--log", "error")
	before := lostForMemory(t)
	t.Cleanup(func() {
		if n := lostForMemory(t) - before; n > 0 {
			t.Logf("the system had no more memory for TCP and has reset %d connections meanwhile, anybody's: what was cut may have been its doing", n)
		}
		if t.Failed() {
			log := m.gateway.Log()
			t.Logf("weir says:\n%s", log[max(0, len(log)-20_000):])
		}
	})
	return m
}

// lostForMemory returns how many connections the system has reset although they were closed and had data left to
// send, because all sockets together used more memory than allowed (tcp(7), tcp_mem). The receiver of that data sees
// a broken connection.
func lostForMemory(t *testing.T) (n int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/net/netstat")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if i := slices.Index(names, "TCPAbortOnMemory"); i > 0 && len(fields) == len(names) {
			n, _ = strconv.ParseInt(fields[i], 10, 64) // written by the kernel
			return n
		}
		names = fields
	}
	return 0
}

// config returns a config with a different response header each time. The backend that breaks off is a service of its
// own, because failures count against the service.
func (m *mixed) config() string {
	m.generation++
	return fmt.Sprintf(`admin: { token: "${env:WEIR_TEST_OPERATOR}" }
listen: ":8080"
telemetry: { access_log: off }
shutdown: { drain: 10s }
routes:
  ANY /**:
    headers: { response: { set: { X-Generation: "%d" } } }
    to: shop
  ANY /cut/**: cut
services:
  shop: { endpoints: [%s] }
  cut: { endpoints: [%s] }
`, m.generation, m.origins[0].Listener.Addr(), m.origins[1].Listener.Addr())
}

// play has all clients send requests for a time.
func (m *mixed) play(d time.Duration) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	l := &crowd{t: m.t, stop: ctx, counts: map[string]*atomic.Int64{}}
	for _, kind := range []struct {
		name    string
		workers int
		talk    func(*caller) error
	}{
		{"content that is given", 4, (*caller).give},
		{"content that is taken", 3, (*caller).take},
		{"content both ways at once", 2, (*caller).both},
		{"responses without content", 1, (*caller).none},
		{"pipelined requests", 2, (*caller).pipeline},
		{"slow clients", 4, (*caller).slow},
		{"resets", 3, (*caller).reset},
		{"half-closes", 2, (*caller).halfClose},
		{"upgrades", 2, (*caller).upgrade},
		{"early answers", 2, (*caller).early},
		{"responses that break off", 2, (*caller).cut},
	} {
		client := h1Client(m.t)
		m.clients = append(m.clients, client)
		l.many(kind.name, kind.workers, func(int) error {
			thinks(ctx)
			c := &caller{number: m.number.Add(1), address: m.gateway.Address, client: client}
			c.Rand = rand.New(rand.NewPCG(m.seed, c.number)) // so that a run can be repeated
			begun := time.Now()
			if err := kind.talk(c); err != nil {
				return fmt.Errorf("seed %d, conversation %d, %s after its begin at %s: %w", m.seed, c.number, time.Since(begun), begun.Format(time.TimeOnly), err)
			}
			return nil
		})
	}
	l.many("configs", 1, func(int) error {
		for range 15 {
			thinks(ctx)
		}
		m.ask(http.StatusOK, http.MethodPut, "/v1/config", m.config())
		return nil
	})
	l.workers.Wait()
	var told []string
	for kind, n := range l.counts {
		told = append(told, fmt.Sprintf("%s %d", kind, n.Load()))
		if n.Load() == 0 && kind != "configs" {
			m.t.Errorf("%s: none", kind)
		}
	}
	m.t.Logf("%s", strings.Join(told, ", "))
}

// afterwards returns what is held when all clients have stopped.
func (m *mixed) afterwards() measure {
	m.t.Helper()
	for _, c := range m.clients {
		c.CloseIdleConnections()
	}
	await.That(m.t, "no request is under way", func() bool {
		metrics := m.ask(http.StatusOK, http.MethodGet, "/metrics", "")
		return !regexp.MustCompile(`(?m)^weir_http_requests_in_flight\{.*\} [1-9]`).MatchString(metrics)
	})
	for _, o := range m.origins {
		o.Config.SetKeepAlivesEnabled(false) // closes idle connections
		o.Config.SetKeepAlivesEnabled(true)
	}
	await.That(m.t, "no connection of a client is left", func() bool {
		metrics := m.ask(http.StatusOK, http.MethodGet, "/metrics", "")
		return !regexp.MustCompile(`(?m)^weir_connections_open\{.*\} [1-9]`).MatchString(metrics)
	})
	return m.settled()
}

// TestContentKnowsItself tests content, on which the tests above rely.
func TestContentKnowsItself(t *testing.T) {
	const size = 1001
	text, err := io.ReadAll(&content{seed: 7, size: size})
	if err != nil || len(text) != size {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	for _, c := range []struct {
		name string
		text []byte
		want string
	}{
		{"as it is", text, ""},
		{"without its last byte", text[:size-1], "1000 bytes of 1001 came"},
		{"with one more", append(slices.Clone(text), 'x'), "there are more than 1001 bytes"},
		{"with another byte", slices.Concat(text[:500], []byte{text[500] ^ 1}, text[501:]), "byte 500 of 1001 is wrong"},
		{"without a word", slices.Concat(text[:8], text[16:]), "byte 8 of 1001 is wrong"},
		{"with a piece twice", slices.Concat(text[:512], text[:size-512]), "byte 512 of 1001 is wrong"},
	} {
		of := &content{seed: 7, size: size}
		_, err := of.Write(c.text[:len(c.text)/3])
		if err == nil {
			_, err = of.Write(c.text[len(c.text)/3:])
		}
		if err == nil {
			err = of.whole()
		}
		if got := fmt.Sprint(err); got != c.want && (err != nil || c.want != "") {
			t.Errorf("%s: %s, want %q", c.name, got, c.want)
		}
	}
}
