package discovery_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/freeport"
	"github.com/weir-gateway/weir/test/weirtest"
)

// asBackend is the environment variable that makes this program a backend at an address.
const asBackend = "WEIR_TEST_BACKEND"

// serveAsProcess answers until it is killed.
func serveAsProcess(address string) int {
	err := http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, os.Getpid())
	}))
	_, _ = fmt.Fprintln(os.Stderr, err)
	return 1
}

// patient is a backend whose health the test sets, and whose streams last until the test releases it.
type patient struct {
	*httptest.Server

	sick   atomic.Bool
	served atomic.Int64
	let    chan struct{}
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	p := &patient{let: make(chan struct{})}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz":
			if p.sick.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		case "/stream":
			_, _ = io.WriteString(w, "begin\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-p.let:
			case <-r.Context().Done():
				return
			}
			_, _ = io.WriteString(w, "end\n")
		default:
			p.served.Add(1)
			_, _ = io.WriteString(w, p.address())
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *patient) address() string { return p.Listener.Addr().String() }

// ward is a gateway with one service, which finds its endpoints in a file.
type ward struct {
	*weirtest.Gateway

	t    *testing.T
	path string
}

func newWard(t *testing.T, settings string, endpoints ...string) *ward {
	t.Helper()
	folder := t.TempDir()
	w := &ward{t: t, path: filepath.Join(folder, "users.yaml")}
	w.are(endpoints...)
	config := filepath.Join(folder, "weir.yaml")
	text := "listen: :8080\nservices:\n  users:\n    source: file:users.yaml\n" + settings + "routes:\n  ANY /**: users\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w.Gateway = weirtest.Start(t, config)
	return w
}

// are writes the endpoints, as a deployment tool does.
func (w *ward) are(endpoints ...string) {
	w.t.Helper()
	text := "[]\n"
	if len(endpoints) > 0 {
		text = "- " + strings.Join(endpoints, "\n- ") + "\n"
	}
	if err := os.WriteFile(w.path+".new", []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(w.path+".new", w.path); err != nil {
		w.t.Fatal(err)
	}
}

// stand is what the admin API reports about the service.
type stand struct {
	Asks      string
	Waiting   int
	Endpoints []struct{ Address, State, Why string }
}

func (w *ward) stands() stand {
	w.t.Helper()
	_, text := ask(w.t, http.MethodGet, "http://"+w.Admin+"/v1/services/users")
	var s stand
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		w.t.Fatalf("%v: %s", err, text)
	}
	return s
}

func (s stand) is(address, state string) bool {
	for _, e := range s.Endpoints {
		if e.Address == address {
			return e.State == state
		}
	}
	return state == "gone"
}

// get sends n requests and returns how many were answered with 200.
func (w *ward) get(n int) (ok int) {
	w.t.Helper()
	for range n {
		if res, _ := ask(w.t, http.MethodGet, "http://"+w.Address+"/"); res.StatusCode == http.StatusOK {
			ok++
		}
	}
	return ok
}

// fastCheck does not count a backend as unhealthy only because it is slow, as every backend is on a busy machine.
const fastCheck = "    health: { path: /healthz, every: 100ms, timeout: 30s, fall: 2, rise: 1 }\n"

func TestABackendThatFailsItsCheckGetsNoRequest(t *testing.T) {
	one, two, three := newPatient(t), newPatient(t), newPatient(t)
	w := newWard(t, fastCheck, one.address(), two.address(), three.address())
	all := []*patient{one, two, three}
	await.That(t, "all are healthy", func() bool {
		s := w.stands()
		return len(s.Endpoints) == 3 && s.is(one.address(), "healthy") && s.is(two.address(), "healthy") && s.is(three.address(), "healthy")
	})

	two.sick.Store(true)
	await.That(t, "one is unhealthy", func() bool { return w.stands().is(two.address(), "unhealthy") })
	if _, text := ask(t, http.MethodGet, "http://"+w.Admin+"/v1/explain?url=/&format=text"); !strings.Contains(text, "not "+two.address()+", unhealthy: status 503\n") {
		t.Errorf("it is not explained who is left out:\n%s", text)
	}
	before := two.served.Load()
	if ok, got := w.get(60), two.served.Load()-before; ok != 60 || got != 0 {
		t.Errorf("%d of 60 were answered, %d by the one that is unhealthy", ok, got)
	}
	await.That(t, "the log tells of it", func() bool {
		return strings.Contains(w.Log(), "endpoint is unhealthy") && strings.Contains(w.Log(), `why="status 503"`)
	})
	two.sick.Store(false)
	await.That(t, "it gets requests again", func() bool { w.get(3); return two.served.Load() > before })

	for _, p := range all {
		p.sick.Store(true)
	}
	await.That(t, "all are unhealthy, which nobody believes", func() bool { return w.stands().Asks == "panic" })
	if ok := w.get(10); ok != 10 {
		t.Errorf("in panic %d of 10 were answered", ok)
	}
	await.That(t, "the metrics tell", func() bool {
		_, text := ask(t, http.MethodGet, "http://"+w.Admin+"/metrics")
		return strings.Contains(text, `weir_backend_panic{backend="users"} 1`) && strings.Contains(text, `weir_backend_endpoints{backend="users",state="unhealthy"} 3`)
	})
	for _, p := range all {
		p.sick.Store(false)
	}
	await.That(t, "health is believed again", func() bool { return w.stands().Asks == "healthy" })

	w.are(one.address())
	await.That(t, "the series of who is gone go too", func() bool {
		_, text := ask(t, http.MethodGet, "http://"+w.Admin+"/metrics")
		return strings.Count(text, "weir_endpoint_asked{") == 1
	})
}

// process starts a backend that can be killed.
func process(t *testing.T, address string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), asBackend+"="+address)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	await.That(t, "the backend serves", func() bool {
		res, err := http.Get("http://" + address + "/")
		if err != nil {
			return false
		}
		return res.Body.Close() == nil
	})
	return c
}

func TestNoIdempotentRequestIsLostWhenBackendsAreKilled(t *testing.T) {
	addresses := []string{freeport.Address(t), freeport.Address(t), freeport.Address(t)}
	backends := make([]*exec.Cmd, len(addresses))
	for i, a := range addresses {
		backends[i] = process(t, a)
	}
	w := newWard(t, "    health: { path: /, every: 200ms }\n", addresses...)
	await.That(t, "all are healthy", func() bool {
		s := w.stands()
		return s.is(addresses[0], "healthy") && s.is(addresses[1], "healthy") && s.is(addresses[2], "healthy")
	})

	stop := make(chan struct{})
	var load sync.WaitGroup
	var answered, lost atomic.Int64
	for range 4 {
		load.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				res, err := client.Get("http://" + w.Address + "/")
				if err != nil {
					lost.Add(1)
					t.Errorf("lost: %v", err)
					return
				}
				text, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if answered.Add(1); err != nil || res.StatusCode != http.StatusOK {
					lost.Add(1)
					t.Errorf("lost: %d %s, %v", res.StatusCode, text, err)
				}
			}
		})
	}
	for round := range 6 {
		i := round % len(backends)
		before := answered.Load()
		await.That(t, "requests are answered", func() bool { return answered.Load() > before+100 })
		if err := backends[i].Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = backends[i].Wait()
		await.That(t, "it is seen", func() bool { s := w.stands(); return !s.is(addresses[i], "healthy") })
		backends[i] = process(t, addresses[i])
		await.That(t, "it is back", func() bool { return w.stands().is(addresses[i], "healthy") })
	}
	close(stop)
	load.Wait()
	t.Logf("%d requests were answered while 6 processes were killed, %d lost", answered.Load(), lost.Load())
}

func TestARequestWaitsWhileTheOnlyEndpointIsReplaced(t *testing.T) {
	one, two := newPatient(t), newPatient(t)
	w := newWard(t, "    hold: 60s\n", one.address())
	if ok := w.get(1); ok != 1 {
		t.Fatal("it does not serve")
	}
	w.are()
	await.That(t, "nobody is left", func() bool { return w.stands().Asks == "nobody" })
	got := make(chan string, 1)
	go func() {
		res, err := http.Post("http://"+w.Address+"/", "text/plain", strings.NewReader("x"))
		if err != nil {
			got <- err.Error()
			return
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		got <- fmt.Sprint(res.StatusCode, " ", string(body), " ", err)
	}()
	await.That(t, "the request waits", func() bool { return w.stands().Waiting == 1 })
	w.are(two.address())
	if text := <-got; text != "200 "+two.address()+" <nil>" {
		t.Errorf("got %s", text)
	}
}

func TestADrainingEndpointEndsWhatItHasAndGetsNothingNew(t *testing.T) {
	old, next := newPatient(t), newPatient(t)
	w := newWard(t, "", old.address())
	res, err := http.Get("http://" + w.Address + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	stream := bufio.NewReader(res.Body)
	if line, err := stream.ReadString('\n'); line != "begin\n" || err != nil {
		t.Fatalf("the stream began with %q, %v", line, err)
	}
	w.get(5) // opens connections to it
	w.are(`{ address: "`+old.address()+`", state: draining }`, `{ address: "`+next.address()+`", state: not_ready }`)
	await.That(t, "it drains", func() bool { return w.stands().is(old.address(), "draining") })
	before := old.served.Load()
	if ok, got := w.get(10), old.served.Load()-before; ok != 10 || got != 10 {
		t.Errorf("while nobody is ready %d are answered, %d by the one that drains", ok, got)
	}
	w.are(`{ address: "`+old.address()+`", state: draining }`, next.address())
	await.That(t, "another one is ready", func() bool { return w.stands().is(next.address(), "healthy") })
	before = old.served.Load()
	if ok, got := w.get(50), old.served.Load()-before; ok != 50 || got != 0 {
		t.Errorf("%d are answered, %d by the one that drains", ok, got)
	}
	w.are(next.address())
	await.That(t, "the old one is gone", func() bool { return w.stands().is(old.address(), "gone") })
	close(old.let)
	if rest, err := io.ReadAll(stream); string(rest) != "end\n" || err != nil {
		t.Errorf("the stream ended with %q, %v", rest, err)
	}
}
