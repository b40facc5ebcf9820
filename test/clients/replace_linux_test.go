package clients_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

// crowd is a set of clients of all kinds that send requests all the time. The test fails if one of them loses
// anything.
type crowd struct {
	t       *testing.T
	stop    context.Context //nolint:containedctx // of all of them
	workers sync.WaitGroup
	counts  map[string]*atomic.Int64 // of answers, by kind
	moved   atomic.Int64             // WebSockets that were told to reconnect
}

// startCrowd begins to send requests to the gateways at address, which must have the routes of crowdConfig. end waits
// for the clients.
func startCrowd(t *testing.T, address string) (l *crowd, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l = &crowd{t: t, stop: ctx, counts: map[string]*atomic.Int64{}}
	h1, fresh, h2 := h1Client(t), h1Client(t), h2Client(t)
	fresh.Transport.(*http.Transport).DisableKeepAlives = true
	url := "http://" + address
	l.many("POST on kept connections", 6, func(i int) error {
		// Without GetBody net/http cannot send the request again: once it was sent it is lost or answered.
		return echoed(h1, url, struct{ io.Reader }{bytes.NewReader(message(i))}, i)
	})
	l.many("POST on kept connections, with pauses", 4, func(i int) error {
		time.Sleep(time.Duration(i%7) * 20 * time.Millisecond) //nolint:forbidigo // it is a client that thinks
		return echoed(h1, url, struct{ io.Reader }{bytes.NewReader(message(i))}, i)
	})
	l.many("POST on new connections", 2, func(i int) error { return echoed(fresh, url, struct{ io.Reader }{bytes.NewReader(message(i))}, i) })
	l.many("POST over HTTP/2", 4, func(i int) error { return echoed(h2, url, struct{ io.Reader }{bytes.NewReader(message(i))}, i) })
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	service := testgrpc.NewTestServiceClient(conn)
	l.many("gRPC", 2, func(int) error {
		_, err := service.EmptyCall(context.Background(), &testgrpc.Empty{})
		return err
	})
	for i := range 4 {
		l.workers.Go(func() { l.chat("ws://"+address+"/chat", i) })
	}
	return l, func() {
		cancel()
		l.workers.Wait()
		_ = conn.Close() // nothing uses it any more
		for kind, n := range l.counts {
			t.Logf("%s: %d", kind, n.Load())
		}
		t.Logf("WebSockets that came back: %d", l.moved.Load())
	}
}

func message(i int) []byte { return bytes.Repeat(fmt.Appendf(nil, "message %d, ", i), 20) }

func (l *crowd) count(kind string) *atomic.Int64 {
	if l.counts[kind] == nil {
		l.counts[kind] = new(atomic.Int64)
	}
	return l.counts[kind]
}

func (l *crowd) many(kind string, workers int, ask func(i int) error) {
	n := l.count(kind)
	for range workers {
		l.workers.Go(func() {
			for i := 0; l.stop.Err() == nil; i++ {
				if err := ask(i); err != nil {
					l.t.Errorf("%s: after %d answers: %v", kind, n.Load(), err)
					return
				}
				n.Add(1)
			}
		})
	}
}

// echoed sends body and expects message i back.
func echoed(c *http.Client, url string, body io.Reader, i int) error {
	res, err := c.Post(url+"/echo", "text/plain", body)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK || !bytes.Equal(got, message(i)) {
		return fmt.Errorf("%d %.100q", res.StatusCode, got)
	}
	return nil
}

// chat has one conversation over as many WebSockets as it takes. A message whose echo did not arrive before the
// server went away is sent again.
func (l *crowd) chat(url string, i int) {
	ctx := context.Background()
	n := l.count("WebSocket")
	for l.stop.Err() == nil {
		conn, _, err := websocket.Dial(ctx, url, nil)
		if err != nil {
			l.t.Errorf("WebSocket: %v", err)
			return
		}
		for err == nil && l.stop.Err() == nil {
			if err = wantEcho(ctx, conn, websocket.MessageText, message(i)); err == nil {
				n.Add(1)
			}
		}
		switch {
		case err == nil:
			_ = conn.Close(websocket.StatusNormalClosure, "")
			return
		case websocket.CloseStatus(err) == websocket.StatusGoingAway:
			l.moved.Add(1)
			_ = conn.CloseNow()
		default:
			l.t.Errorf("WebSocket: after %d messages: %v", n.Load(), err)
			return
		}
	}
}

// goOn waits until each kind was answered more times.
func (l *crowd) goOn(more int64) {
	l.t.Helper()
	for kind, n := range l.counts {
		goal := n.Load() + more
		for deadline := time.Now().Add(time.Minute); n.Load() < goal && !l.t.Failed(); <-time.After(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				l.t.Fatalf("%s: no %d more answers within a minute", kind, more)
			}
		}
	}
}

// crowdConfig is the config of a gateway in front of an echo, a chat and a gRPC service.
func crowdConfig(t *testing.T, more string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /echo", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	mux.Handle("GET /chat", &chat{ended: make(chan error, 1<<16)})
	origin := httptest.NewServer(mux)
	t.Cleanup(origin.Close)
	_, calls := startGRPC(t)
	path := filepath.Join(t.TempDir(), "weir.yaml")
	text := "listen: :8080\n" + more + "routes:\n  ANY /**: " + origin.URL + "\n  POST /grpc.testing.TestService/**: grpc://" + calls + "\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The binary is replaced while clients send requests: the next process has the same sockets.
func TestNothingIsLostWhenAnotherProcessTakesOver(t *testing.T) {
	gateway := weirtest.Start(t, crowdConfig(t, ""))
	clients, end := startCrowd(t, gateway.Address)
	clients.goOn(20)
	var before []int
	for range 3 {
		before = append(before, gateway.Upgrade(t))
		clients.goOn(20)
	}
	end()
	if clients.moved.Load() < 3 {
		t.Errorf("only %d WebSockets were told to come back", clients.moved.Load())
	}
	for _, pid := range before {
		await.That(t, "a process before has ended", func() bool { return weirtest.Gone(pid) })
	}
}

// balancer is a load balancer in front of replicas: it passes connections to a replica that reports that it is ready.
type balancer struct {
	net.Listener

	mu       sync.Mutex
	replicas []*weirtest.Gateway
	ready    []*weirtest.Gateway
	next     int
	work     sync.WaitGroup
	stop     chan struct{}
}

func startBalancer(t *testing.T) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{Listener: l, stop: make(chan struct{})}
	b.work.Go(b.accept)
	b.work.Go(b.look)
	t.Cleanup(func() {
		close(b.stop)
		_ = l.Close()
		b.work.Wait()
	})
	return b
}

func (b *balancer) set(replicas ...*weirtest.Gateway) {
	b.mu.Lock()
	b.replicas = replicas
	b.mu.Unlock()
	b.probe()
}

// look checks all replicas now and then, as kubelets do.
func (b *balancer) look() {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.probe()
		case <-b.stop:
			return
		}
	}
}

func (b *balancer) probe() {
	b.mu.Lock()
	replicas := b.replicas
	b.mu.Unlock()
	probes := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	var ready []*weirtest.Gateway
	for _, g := range replicas {
		res, err := probes.Get("http://" + g.Admin + "/readyz")
		if err != nil {
			continue
		}
		_ = res.Body.Close()
		if res.StatusCode == http.StatusOK {
			ready = append(ready, g)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ready = ready
}

func (b *balancer) accept() {
	for {
		client, err := b.Accept()
		if err != nil {
			return
		}
		b.mu.Lock()
		b.next++
		to := b.ready[b.next%len(b.ready)].Address
		b.mu.Unlock()
		b.work.Go(func() { pass(client.(*net.TCPConn), to) })
	}
}

func pass(client *net.TCPConn, address string) {
	defer client.Close()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return // the client sees a connection without an answer
	}
	replica := conn.(*net.TCPConn)
	defer replica.Close()
	var other sync.WaitGroup
	other.Go(func() { _, _ = io.Copy(replica, client); _ = replica.CloseWrite() })
	_, _ = io.Copy(client, replica)
	_ = client.CloseWrite()
	_ = client.SetReadDeadline(time.Now()) // the replica has sent everything
	other.Wait()
}

// Replicas are replaced while clients send requests. A new replica starts, the old one reports that it is not ready,
// and ends when it has nothing left to do.
func TestNothingIsLostWhenReplicasAreReplaced(t *testing.T) {
	config := crowdConfig(t, "shutdown: { delay: 3s }\n") // enough to be noticed on a busy machine, too
	old := weirtest.Start(t, config)
	front := startBalancer(t)
	front.set(old)
	clients, end := startCrowd(t, front.Addr().String())
	clients.goOn(20)
	for range 2 {
		next := weirtest.Start(t, config)
		front.set(old, next)
		clients.goOn(20)
		old.Terminate(t)
		await.That(t, "the replica has ended", old.Ended)
		old = next
		front.set(old)
		clients.goOn(20)
	}
	end()
	if clients.moved.Load() < 2 {
		t.Errorf("only %d WebSockets were told to come back", clients.moved.Load())
	}
}
