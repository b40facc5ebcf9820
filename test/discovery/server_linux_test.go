// Package discovery_test checks what the gateway promises about backends that move: no request is lost, whatever
// their names do. The backends are addresses of 127.0.0.0/8, which all exist on Linux.
package discovery_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	protocol "github.com/miekg/dns"

	"github.com/weir-gateway/weir/test/weirtest"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(asBackend); address != "" {
		os.Exit(serveAsProcess(address))
	}
	code := m.Run()
	weirtest.Cleanup()
	os.Exit(code)
}

// names is a name server on loopback.
type names struct {
	t       *testing.T
	address string

	mu      sync.Mutex
	records []string // in zone file format
	failing bool
}

func serveNames(t *testing.T) *names {
	t.Helper()
	n := &names{t: t}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.address = conn.LocalAddr().String()
	server, started, ended := &protocol.Server{PacketConn: conn, Handler: protocol.HandlerFunc(n.answer)}, make(chan struct{}), make(chan struct{})
	server.NotifyStartedFunc = func() { close(started) }
	go func() {
		defer close(ended)
		if err := server.ActivateAndServe(); err != nil {
			t.Errorf("the server of names: %v", err)
		}
	}()
	<-started
	t.Cleanup(func() { _ = server.Shutdown(); <-ended })
	return n
}

func (n *names) answer(w protocol.ResponseWriter, m *protocol.Msg) {
	res := new(protocol.Msg)
	res.SetReply(m)
	res.RecursionAvailable = true
	n.mu.Lock()
	defer n.mu.Unlock()
	known := false
	for _, text := range n.records {
		rr, err := protocol.NewRR(text)
		if err != nil {
			n.t.Errorf("%s: %v", text, err)
			continue
		}
		if strings.EqualFold(rr.Header().Name, m.Question[0].Name) {
			known = true
			if rr.Header().Rrtype == m.Question[0].Qtype {
				res.Answer = append(res.Answer, rr)
			}
		}
	}
	switch {
	case n.failing:
		res.SetRcode(m, protocol.RcodeServerFailure)
	case !known:
		res.Rcode = protocol.RcodeNameError
	}
	_ = w.WriteMsg(res) // the client may have left
}

// are sets the addresses of a name.
func (n *names) are(name string, addresses ...string) {
	var records []string
	for _, a := range addresses {
		records = append(records, name+". 0 IN A "+a)
	}
	n.set(records...)
}

func (n *names) set(records ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.records = records
}

func (n *names) fail(failing bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.failing = failing
}

// backend is a server that answers with its address.
type backend struct {
	*http.Server

	address string // in 127.0.0.0/8
	served  atomic.Int64
	ended   chan error
}

// serveBackend starts a backend; port 0 means a free port.
func serveBackend(t *testing.T, address string, port int) (b *backend, bound int) {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, port))
	if err != nil {
		t.Fatal(err)
	}
	b = &backend{address: address, ended: make(chan error, 1)}
	b.Server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.served.Add(1)
		_, _ = fmt.Fprintf(w, "%s for %s", address, r.Host)
	})}
	go func() { b.ended <- b.Serve(l) }()
	t.Cleanup(func() { _ = b.Close(); <-b.ended })
	return b, l.Addr().(*net.TCPAddr).Port
}

// gateway starts a gateway that resolves names with n.
func gateway(t *testing.T, n *names, config string) *weirtest.Gateway {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.yaml")
	text := fmt.Sprintf("listen: :8080\nresolver: { servers: %q, min_ttl: 100ms }\n%s", n.address, config)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return weirtest.Start(t, path)
}
