package reconcile_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/freeport"
	"github.com/weir-gateway/weir/internal/control/reconcile"
)

const route = "routes:\n  ANY /**:\n    to: "

func says(address, text string) string {
	return "listen: " + address + "\n" + route + "respond:" + text + "\n"
}

func TestBusyPortRefusesTheChangeAndTheOldOneServesOn(t *testing.T) {
	w := newWorld(t)
	client := newClient(t)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	w.apply(says("127.0.0.1:0", "old"))
	url := "http://" + w.address()
	free := freeport.Address(t)
	cfg := w.load("listen: [127.0.0.1:0, " + free + ", " + busy.Addr().String() + "]\n" + route + "respond:new\n")
	report, err := w.reconciler.Apply(cfg, "new")
	if err == nil || errors.Is(err, reconcile.ErrRefused) || report.Applied || !strings.Contains(report.Problems[0].What, busy.Addr().String()) {
		t.Fatalf("got %+v, %v", report, err)
	}
	expect(t, client, url, "old")
	if l, err := net.Listen("tcp", free); err != nil {
		t.Errorf("the socket before the busy one stayed open: %v", err)
	} else {
		_ = l.Close()
	}
	if last := w.reconciler.Last(); last.Applied || last.Digest != "new" {
		t.Errorf("last report: %+v", last)
	}
}

func TestRefusedConfigLeavesTheOldOneServing(t *testing.T) {
	w := newWorld(t)
	w.apply(says("127.0.0.1:0", "old"))
	if _, err := w.reconciler.Apply(w.load("listen: 127.0.0.1:0\n"+route+"dir:./missing\n"), "new"); !errors.Is(err, reconcile.ErrRefused) {
		t.Fatalf("got %v", err)
	}
	expect(t, newClient(t), "http://"+w.address(), "old")
	if got := w.reconciler.Config(); got == nil || len(got.Routes[0].Filters) != 1 {
		t.Errorf("the config that serves: %+v", got)
	}
}

// slowBackend answers "done" once leave is closed, and tells when it was asked.
func slowBackend(t *testing.T) (url string, entered <-chan struct{}, leave chan<- struct{}) {
	t.Helper()
	asked, go_ := make(chan struct{}, 10), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-go_
		_, _ = w.Write([]byte("done"))
	}))
	t.Cleanup(s.Close)
	return s.URL, asked, go_
}

// begin asks in the background and gives the answer.
func begin(c *http.Client, url string) <-chan string {
	answer := make(chan string, 1)
	go func() {
		got, err := get(c, url)
		if err != nil {
			got = err.Error()
		}
		answer <- got
	}()
	return answer
}

func TestRemovedSocketLetsItsRequestsFinish(t *testing.T) {
	w := newWorld(t)
	client := newClient(t)
	backend, entered, leave := slowBackend(t)
	w.apply("listen: 127.0.0.1:0\n" + route + backend + "\n")
	address := w.address()
	answer := begin(client, "http://"+address)
	<-entered
	w.apply(says(freeport.Address(t), "new"))
	if c, err := net.Dial("tcp", address); err == nil {
		_ = c.Close()
		t.Error("the removed socket takes new connections")
	}
	close(leave)
	if got := <-answer; got != "done" {
		t.Errorf("the request under way: %s", got)
	}
}

// What comes on connections of a socket that is gone is answered as it was meant,
// once more, and the connection ends.
func TestRemovedSocketServesWhatIsOnItsWay(t *testing.T) {
	w := newWorld(t)
	w.apply(says("127.0.0.1:0", "old"))
	conn, err := net.Dial("tcp", w.address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := ask(conn, "shop.dev", "/"); got != "old" {
		t.Fatal(got)
	}
	w.apply(says(freeport.Address(t), "new"))
	if got := ask(conn, "shop.dev", "/"); got != "old" {
		t.Errorf("got %s", got)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is still open")
	}
}

func TestSocketBecomesTLSAndPlainAgainOnTheSameAddress(t *testing.T) {
	w := newWorld(t)
	client := newConnections(t)
	address := freeport.Address(t)
	certificate(t, w.folder)
	secure := "listen:\n  - address: " + address + "\n    tls: { cert: " + w.folder + "/shop.crt, key: " + w.folder + "/shop.key }\n" + route + "respond:secure\n"
	for range 3 {
		w.apply(says(address, "plain"))
		expect(t, client, "http://"+address, "plain")
		w.apply(secure)
		expect(t, client, "https://"+address, "secure")
		if got, err := get(client, "http://"+address); err == nil {
			t.Errorf("plain text to a TLS socket: %q", got)
		}
	}
}

func TestSocketKeepsItsAddressAndConnectionsUnderAnotherName(t *testing.T) {
	w := newWorld(t)
	client := newClient(t)
	address := freeport.Address(t)
	for _, name := range []string{"one", "two", "one"} {
		cfg := w.load(says(address, name))
		cfg.Sockets[0].Name, cfg.Listeners[0].Socket = name, name
		if _, err := w.reconciler.Apply(cfg, ""); err != nil {
			t.Fatal(err)
		}
		expect(t, client, "http://"+address, name)
		if got := w.reconciler.Addresses(); got[name] != address || len(got) != 1 {
			t.Errorf("addresses: %v", got)
		}
	}
}

func TestLimitsOfTheWireFollowTheConfig(t *testing.T) {
	w := newWorld(t)
	client := newConnections(t)
	long := "/" + strings.Repeat("x", 5000)
	w.apply(says("127.0.0.1:0", "ok"))
	url := "http://" + w.address()
	expect(t, client, url+long, "ok")
	w.apply(says("127.0.0.1:0", "ok") + "limits: { url: 1KiB }\n")
	if _, err := get(client, url+long); err == nil || !strings.Contains(err.Error(), "414") {
		t.Errorf("with a limit of 1 KiB: %v", err)
	}
	w.apply(says("127.0.0.1:0", "ok"))
	expect(t, client, url+long, "ok")
}

func TestAnAddressThatCoversOneOfOursIsExplained(t *testing.T) {
	w := newWorld(t)
	address := freeport.Address(t)
	w.apply(says(address, "old"))
	_, port, _ := net.SplitHostPort(address)
	_, err := w.reconciler.Apply(w.load(says(":"+port, "new")), "")
	if err == nil {
		t.Skip("this system lets both be bound")
	}
	if !strings.Contains(err.Error(), "this gateway itself listens on "+address) {
		t.Errorf("got %v", err)
	}
	expect(t, newClient(t), "http://"+address, "old")
}

// TestReloadsUnderLoadLoseNothing alternates between two configs that differ in
// everything that reloads touch: routes, services, folders, and the limits of
// the wire, for which the socket is handed from server to server.
func TestReloadsUnderLoadLoseNothing(t *testing.T) {
	w := newWorld(t)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }))
	defer backend.Close()
	if err := errors.Join(os.Mkdir(filepath.Join(w.folder, "public"), 0o755), os.WriteFile(filepath.Join(w.folder, "public", "x"), []byte("ok"), 0o600)); err != nil {
		t.Fatal(err)
	}
	configs := []string{
		"listen: 127.0.0.1:0\n" + route + backend.URL + "\n",
		"listen: 127.0.0.1:0\nlimits: { fields: 50 }\n" + route + "dir:./public\n",
	}
	w.apply(configs[0])
	url := "http://" + w.address() + "/x"

	stop := make(chan struct{})
	var answered atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		client := newClient(t)
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got, err := get(client, url); err != nil || got != "ok" {
					t.Errorf("after %d requests: %q, %v", answered.Load(), got, err)
					return
				}
				answered.Add(1)
			}
		})
	}
	const reloads = 100
	var goroutines, files int
	for i := range reloads {
		before := answered.Load()
		w.apply(configs[(i+1)%2])
		await.That(t, "requests are answered after a reload", func() bool { return answered.Load() >= before+8 })
		if i == 20 { // all is warm
			goroutines, files = runtime.NumGoroutine(), openFiles()
		}
	}
	close(stop)
	clients.Wait()
	w.close()
	await.That(t, "what the reloads left is gone", func() bool {
		return runtime.NumGoroutine() <= goroutines && openFiles() <= files
	})
}

func TestCloseLetsRequestsFinishAndEndsAll(t *testing.T) {
	w := newWorld(t)
	client := newClient(t)
	backend, entered, leave := slowBackend(t)
	w.apply("listen: 127.0.0.1:0\n" + route + backend + "\n")
	address := w.address()
	answer := begin(client, "http://"+address)
	<-entered
	closed := make(chan struct{})
	go func() { defer close(closed); w.close() }()
	await.That(t, "the socket is closed", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	if n := w.gateway.InFlight(); n != 1 { // what an operator is told meanwhile
		t.Errorf("%d requests under way, want 1", n)
	}
	if last := w.reconciler.Last(); !last.Applied {
		t.Errorf("the last report can be asked for meanwhile: %+v", last)
	}
	close(leave)
	if got := <-answer; got != "done" {
		t.Errorf("the request under way: %s", got)
	}
	<-closed
	if _, err := w.reconciler.Apply(w.load(says("127.0.0.1:0", "late")), ""); err == nil || len(w.reconciler.Addresses()) > 0 {
		t.Errorf("a config was applied after Close: %v", err)
	}
}

func TestCloseCutsWhatTakesTooLong(t *testing.T) {
	w := newWorld(t)
	client := newClient(t)
	backend, entered, leave := slowBackend(t)
	w.apply("listen: 127.0.0.1:0\n" + route + backend + "\n")
	answer := begin(client, "http://"+w.address())
	<-entered
	w.apply(says("127.0.0.1:0", "new")) // the old snapshot drains, for an hour
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	w.reconciler.Close(ctx)
	if got := <-answer; got == "done" {
		t.Error("it was not cut")
	}
	close(leave)
}

// A test that fails refuses the change, and the start.
func TestAFailingTestRefuses(t *testing.T) {
	w := newWorld(t)
	client := newClient(t)
	const failing = "tests: [{ request: GET /x, route: none }]\n"
	report, err := w.reconciler.Apply(w.load(says("127.0.0.1:0", "first")+failing), "")
	if !errors.Is(err, reconcile.ErrRefused) || w.gateway.Current() != nil || len(report.Problems) != 1 || report.Problems[0].Pos.Line == 0 {
		t.Fatalf("at the start: %v, %v", err, report.Problems)
	}
	w.apply(says("127.0.0.1:0", "old") + "tests: [{ request: GET /x, status: 200 }]\n")
	url := "http://" + w.address()
	if _, err := w.reconciler.Apply(w.load(says("127.0.0.1:0", "new")+failing), ""); !errors.Is(err, reconcile.ErrRefused) {
		t.Errorf("a change: %v", err)
	}
	if report, err := w.reconciler.Try(w.load(says("127.0.0.1:0", "new")+failing), ""); !errors.Is(err, reconcile.ErrRefused) || len(report.Problems) != 1 {
		t.Errorf("a try: %v, %v", err, report.Problems)
	}
	expect(t, client, url, "old")
}
