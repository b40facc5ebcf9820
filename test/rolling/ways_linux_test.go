package rolling_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	protocol "github.com/miekg/dns"

	"github.com/weir-gateway/weir/test/rolling"
	"github.com/weir-gateway/weir/test/weirtest"
)

// rounds is how often all backends are replaced; `make rolling` does that for a minute.
var rounds = flag.Int("rounds", 4, "how many times all three backends are replaced, every 300 ms") //nolint:gochecknoglobals // that is what flags are

// play runs one way to find backends through the scenario, with each ending. begin starts its gateway.
func play(t *testing.T, begin func(t *testing.T, s *rolling.Stage) (gateway string, w rolling.Way)) {
	t.Helper()
	for i, e := range []rolling.Ending{rolling.Graceful, rolling.AtOnce, rolling.Restless} {
		t.Run(string(e), func(t *testing.T) {
			s := rolling.NewStage(t, func(n int) string { return fmt.Sprintf("127.%d.%d.%d", 16+i+3*(os.Getpid()%70), 1+n/250, 1+n%250) })
			gateway, w := begin(t, s)
			s.Roll(gateway, w, rolling.Plan{Ending: e, Rounds: *rounds, Every: 300 * time.Millisecond})
		})
	}
}

// start runs Weir with a config whose services are called shop and calls.
func start(t *testing.T, config string) *weirtest.Gateway {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(path, []byte("listen: :8080\ntelemetry: { access_log: off }\n"+config+"routes:\n  POST /grpc.testing.TestService/**: calls\n  ANY /orders: shop\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := weirtest.Start(t, path)
	t.Cleanup(func() {
		if t.Failed() {
			log := g.Log()
			t.Logf("weir says:\n%s", log[max(0, len(log)-20_000):])
		}
	})
	return g
}

// names returns the services of an instance and their ports.
func names(i rolling.Instance) map[string]int { return map[string]int{"shop": i.HTTP, "calls": i.GRPC} }

func TestByTheRegistry(t *testing.T) {
	play(t, func(t *testing.T, _ *rolling.Stage) (string, rolling.Way) {
		t.Helper()
		g := start(t, "registry: 127.0.0.1:0\nservices:\n  shop: registry:shop\n  calls: { source: registry:calls, protocol: grpc }\n")
		registered := map[string]bool{}
		return g.Address, rolling.Way{Grace: 500 * time.Millisecond, Tell: func(all []rolling.Instance) {
			stay := map[string]bool{}
			for _, i := range all {
				for name, port := range names(i) {
					at := fmt.Sprintf("http://%s/v1/registry/services/%s/instances/%s", g.Registry, name, i.ID)
					stay[at] = !i.Leaving
					if stay[at] && !registered[at] {
						ask(t, http.MethodPut, at, map[string]any{"address": i.Host, "port": port, "ttl": "1h"})
						registered[at] = true
					}
				}
			}
			for at := range registered {
				if !stay[at] {
					ask(t, http.MethodDelete, at, nil)
					delete(registered, at)
				}
			}
		}}
	})
}

// ask sends a request that must succeed.
func ask(t *testing.T, method, url string, body any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Error(err)
	}
	req, err := http.NewRequest(method, url, bytes.NewReader(text)) //nolint:noctx // it ends with the gateway
	if err != nil {
		t.Error(err)
		return
	}
	defer http.DefaultClient.CloseIdleConnections()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = res.Body.Close() }()
	if told, err := io.ReadAll(res.Body); err != nil || res.StatusCode >= http.StatusMultipleChoices {
		t.Errorf("%s %s: %s %s %v", method, url, res.Status, told, err)
	}
}

// TestByNames uses a name server whose answers have a TTL of 0.
func TestByNames(t *testing.T) {
	play(t, func(t *testing.T, s *rolling.Stage) (string, rolling.Way) {
		t.Helper()
		var known atomic.Pointer[[]rolling.Instance]
		known.Store(&[]rolling.Instance{})
		server := serveNames(t, func(m *protocol.Msg) (answer []protocol.RR) {
			for _, i := range *known.Load() {
				if q := m.Question[0]; q.Qtype == protocol.TypeA && !i.Leaving {
					answer = append(answer, &protocol.A{Hdr: protocol.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: q.Qclass}, A: net.ParseIP(i.Host)})
				}
			}
			return answer
		})
		g := start(t, fmt.Sprintf("resolver: { servers: %q, min_ttl: 100ms }\nservices:\n  shop: http://shop.internal:%d\n  calls: grpc://shop.internal:%d\n", server, s.HTTP, s.GRPC))
		return g.Address, rolling.Way{Grace: time.Second, Tell: func(all []rolling.Instance) { known.Store(&all) }}
	})
}

// serveNames runs a name server, and returns its address.
func serveNames(t *testing.T, answer func(*protocol.Msg) []protocol.RR) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	started, ended := make(chan struct{}), make(chan error, 1)
	server := &protocol.Server{PacketConn: conn, NotifyStartedFunc: func() { close(started) }, Handler: protocol.HandlerFunc(func(w protocol.ResponseWriter, m *protocol.Msg) {
		res := new(protocol.Msg)
		res.SetReply(m)
		res.Answer = answer(m)
		_ = w.WriteMsg(res) // the client may have left
	})}
	go func() { ended <- server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		_ = server.Shutdown()
		if err := <-ended; err != nil {
			t.Errorf("the server of names: %v", err)
		}
	})
	return conn.LocalAddr().String()
}
