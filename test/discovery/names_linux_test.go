package discovery_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/wire/secure/securetest"
	"github.com/weir-gateway/weir/test/weirtest"
)

func ask(t *testing.T, method, url string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// knows polls the gateway until it has exactly these endpoints for a path.
func knows(t *testing.T, g *weirtest.Gateway, path string, port int, addresses ...string) {
	t.Helper()
	var all []string
	for _, a := range addresses {
		all = append(all, fmt.Sprintf("%s:%d", a, port))
	}
	want := " at " + strings.Join(all, ", ")
	await.That(t, "endpoints"+want, func() bool {
		_, text := ask(t, http.MethodGet, "http://"+g.Admin+"/v1/explain?format=text&url="+path)
		return strings.Contains(text, want+"\n") || strings.Contains(text, want+"; ") // followed by how one of them is chosen
	})
}

// load sends requests until it is stopped, and counts what went wrong.
type load struct {
	sent, failed atomic.Int64
	each         [8]atomic.Int64        // sent by each client
	first        atomic.Pointer[string] // the first failure
	stop         func()
}

func startLoad(t *testing.T, url string) *load {
	t.Helper()
	l := &load{}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range l.each {
		client := &http.Client{Transport: &http.Transport{}}
		all.Go(func() {
			defer client.CloseIdleConnections()
			for n := 0; ctx.Err() == nil; n++ {
				if wrong := once(client, url, (i+n)%2 == 0); wrong != "" {
					l.failed.Add(1)
					l.first.CompareAndSwap(nil, &wrong)
				}
				l.sent.Add(1)
				l.each[i].Add(1)
			}
		})
	}
	l.stop = sync.OnceFunc(func() { cancel(); all.Wait() })
	t.Cleanup(l.stop)
	return l
}

// once sends a GET or a POST, and returns what went wrong.
func once(client *http.Client, url string, post bool) string {
	send := func() (*http.Response, error) { return client.Get(url) } //nolint:noctx // it ends with the test's servers
	if post {
		send = func() (*http.Response, error) { return client.Post(url, "text/plain", strings.NewReader("order")) } //nolint:noctx // as above
	}
	res, err := send()
	if err != nil {
		return err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return fmt.Sprintf("%d %s %v", res.StatusCode, body, err)
	}
	return ""
}

// more waits until n further requests were sent, and until all requests that were under way have ended.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	before := l.sent.Load()
	var eachBefore [len(l.each)]int64
	for i := range l.each {
		eachBefore[i] = l.each[i].Load()
	}
	await.That(t, "requests are sent", func() bool { return l.sent.Load() >= before+n })
	for i := range l.each {
		await.That(t, "a request ends that was under way", func() bool { return l.each[i].Load() > eachBefore[i] })
	}
}

func (l *load) nothingLost(t *testing.T) {
	t.Helper()
	l.stop()
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed, first: %s", n, l.sent.Load(), *l.first.Load())
	}
}

// TestRollingUpdateByNames replaces backends one after the other while GETs and POSTs go on. Each new backend is
// added to the name as the old one is removed. The old one stops once nothing is sent to it any more, like a program
// that waits for the TTL before it ends.
func TestRollingUpdateByNames(t *testing.T) {
	n := serveNames(t)
	first, port := serveBackend(t, "127.0.0.10", 0)
	living := []*backend{first}
	for i := 11; i < 13; i++ {
		b, _ := serveBackend(t, fmt.Sprintf("127.0.0.%d", i), port)
		living = append(living, b)
	}
	addresses := func() []string {
		var list []string
		for _, b := range living {
			list = append(list, b.address)
		}
		return list
	}
	n.are("users.internal", addresses()...)
	g := gateway(t, n, fmt.Sprintf("routes:\n  ANY /**: http://users.internal:%d\n", port))
	knows(t, g, "/", port, addresses()...)
	l := startLoad(t, "http://"+g.Address+"/orders")
	for i := 13; i < 25; i++ {
		b, _ := serveBackend(t, fmt.Sprintf("127.0.0.%d", i), port)
		old := living[0]
		living = append(living[1:], b)
		n.are("users.internal", addresses()...)
		knows(t, g, "/", port, addresses()...)
		l.more(t, 20)
		if err := old.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if old.served.Load() == 0 && i > 15 {
			t.Errorf("%s got nothing", old.address)
		}
	}
	l.nothingLost(t)
}

// TestNamesThatCannotBeSeen has the name server fail, and then deny the name as a restarting server does, under load.
func TestNamesThatCannotBeSeen(t *testing.T) {
	n := serveNames(t)
	_, port := serveBackend(t, "127.0.0.30", 0)
	n.are("users.internal", "127.0.0.30")
	g := gateway(t, n, fmt.Sprintf("routes:\n  ANY /**: http://users.internal:%d\n", port))
	knows(t, g, "/", port, "127.0.0.30")
	l := startLoad(t, "http://"+g.Address+"/")
	looked := func(result string) {
		t.Helper()
		await.That(t, "a look that came to "+result, func() bool {
			_, text := ask(t, http.MethodGet, "http://"+g.Admin+"/metrics")
			return strings.Contains(text, `result="`+result+`"} `)
		})
	}
	n.fail(true)
	looked("failed")
	l.more(t, 50)
	n.fail(false)
	n.set()
	looked("absent")
	l.more(t, 50)
	n.are("users.internal", "127.0.0.30")
	l.more(t, 50)
	l.nothingLost(t)
}

// TestANameThatIsNotThereYet starts with a backend whose name does not exist. Its route says so and that a retry is
// worthwhile, no other route is affected, and the route recovers without a reload.
func TestANameThatIsNotThereYet(t *testing.T) {
	n := serveNames(t)
	_, port := serveBackend(t, "127.0.0.40", 0)
	g := gateway(t, n, fmt.Sprintf("routes:\n  GET /late: http://late.internal:%d\n  GET /ok: respond:ok\n", port))
	res, body := ask(t, http.MethodGet, "http://"+g.Address+"/late")
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !strings.Contains(body, "no-endpoint") {
		t.Errorf("got %d %v %s", res.StatusCode, res.Header, body)
	}
	if res, body := ask(t, http.MethodGet, "http://"+g.Address+"/ok"); res.StatusCode != http.StatusOK || body != "ok" {
		t.Errorf("the other route: %d %s", res.StatusCode, body)
	}
	n.are("late.internal", "127.0.0.40")
	await.That(t, "the name is found", func() bool {
		res, body := ask(t, http.MethodGet, "http://"+g.Address+"/late")
		return res.StatusCode == http.StatusOK && strings.HasPrefix(body, "127.0.0.40 for 127.0.0.1")
	})
	await.That(t, "the log tells of it", func() bool { // a moment after requests are served
		return strings.Contains(g.Log(), "late.internal: there is no such name") && strings.Contains(g.Log(), "endpoints are found again")
	})
}

// TestServiceRecords has an SRV record lead to two ports of two machines, by weight. They are asked in turn: with a
// choice by latency, one late answer could distort the shares for a while.
func TestServiceRecords(t *testing.T) {
	n := serveNames(t)
	a, portA := serveBackend(t, "127.0.0.50", 0)
	b, portB := serveBackend(t, "127.0.0.51", 0)
	n.set(
		fmt.Sprintf("_http._tcp.users.internal. 0 IN SRV 10 3 %d a.users.internal.", portA),
		fmt.Sprintf("_http._tcp.users.internal. 0 IN SRV 10 1 %d b.users.internal.", portB),
		"_http._tcp.users.internal. 0 IN SRV 20 1 1 spare.users.internal.",
		"a.users.internal. 0 IN A 127.0.0.50", "b.users.internal. 0 IN A 127.0.0.51", "spare.users.internal. 0 IN A 127.0.0.52",
	)
	g := gateway(t, n, "services:\n  users: { source: 'srv:_http._tcp.users.internal', balance: round-robin }\nroutes:\n  ANY /**: users\n")
	for range 400 {
		if res, body := ask(t, http.MethodGet, "http://"+g.Address+"/"); res.StatusCode != http.StatusOK {
			t.Fatalf("got %d %s", res.StatusCode, body)
		}
	}
	if a, b := a.served.Load(), b.served.Load(); a+b != 400 || a < 290 || a > 310 { // a new list starts a new round
		t.Errorf("%d and %d requests, want 300 and 100", a, b)
	}
}

// TestCertificatesAreForNames calls an address that a name resolved to: certificate, SNI and Host stay those of the
// name.
func TestCertificatesAreForNames(t *testing.T) {
	n := serveNames(t)
	authority, folder := securetest.NewAuthority(t, "a"), t.TempDir()
	securetest.WriteFile(t, filepath.Join(folder, "ca.crt"), authority.PEM())
	l, err := net.Listen("tcp", "127.0.0.60:0")
	if err != nil {
		t.Fatal(err)
	}
	var asked sync.Map
	pair := authority.Issue([]string{"users.internal"})
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) }),
		TLSConfig: &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			asked.Store(hello.ServerName, true)
			return &pair, nil
		}},
	}
	ended := make(chan error, 1)
	go func() { ended <- s.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = s.Close(); <-ended })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n.set("users.internal. 0 IN A 127.0.0.60", "other.internal. 0 IN A 127.0.0.60")
	service := "  %s:\n    source: https://%s.internal:%s\n    tls: { ca: %s/ca.crt }\n"
	g := gateway(t, n, "services:\n"+fmt.Sprintf(service, "users", "users", port, folder)+fmt.Sprintf(service, "other", "other", port, folder)+
		"routes:\n  GET /users: { to: users, rewrite: { host: users.internal } }\n  GET /other: other\n")
	if res, body := ask(t, http.MethodGet, "http://"+g.Address+"/users"); res.StatusCode != http.StatusOK || body != "users.internal" {
		t.Errorf("got %d %s", res.StatusCode, body)
	}
	if _, ok := asked.Load("users.internal"); !ok {
		t.Error("the name was not asked for")
	}
	if res, body := ask(t, http.MethodGet, "http://"+g.Address+"/other"); res.StatusCode != http.StatusBadGateway {
		t.Errorf("a certificate for another name: %d %s", res.StatusCode, body)
	}
}
