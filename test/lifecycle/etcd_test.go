//go:build linux

package lifecycle_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/freeport"
	"github.com/weir-gateway/weir/test/weirtest"
)

// store is an etcd in which backends are registered.
type store struct {
	t       *testing.T
	address string
	peer    string
	folder  string
	process *exec.Cmd
}

func startStore(t *testing.T) *store {
	t.Helper()
	if _, err := exec.LookPath("etcd"); err != nil {
		t.Skip("no etcd here; `make deps` installs one")
	}
	s := &store{t: t, address: freeport.Address(t), peer: freeport.Address(t), folder: filepath.Join(t.TempDir(), "etcd")}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *store) start() {
	s.t.Helper()
	client, peer := "http://"+s.address, "http://"+s.peer
	s.process = exec.CommandContext(s.t.Context(), "etcd", "--data-dir", s.folder, "--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	await.That(s.t, "etcd is healthy", func() bool {
		res, err := http.Get(client + "/health") //nolint:noctx // it is asked again
		if err != nil {
			return false
		}
		defer func() { _ = res.Body.Close() }()
		text, _ := io.ReadAll(res.Body)
		return strings.Contains(string(text), `"true"`)
	})
}

func (s *store) kill() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
	s.process = nil
}

func (s *store) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := s.process.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
}

// call uses etcd's JSON gateway, so that the code under test is not involved. fields holds keys and values.
func (s *store) call(path string, fields map[string]string) {
	s.t.Helper()
	coded := map[string]string{}
	for name, text := range fields {
		coded[name] = base64.StdEncoding.EncodeToString([]byte(text))
	}
	body, err := json.Marshal(coded)
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.Post("http://"+s.address+path, "application/json", bytes.NewReader(body)) //nolint:noctx // the test's own deadline counts
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %d %s %v", path, res.StatusCode, text, err)
	}
}

func (s *store) register(name, address string) {
	s.t.Helper()
	s.call("/v3/kv/put", map[string]string{"key": "services/users/" + name, "value": address})
}

func (s *store) deregister(name string) {
	s.t.Helper()
	s.call("/v3/kv/deleterange", map[string]string{"key": "services/users/" + name})
}

// backendNamed starts a backend that answers with its name.
func backendNamed(t *testing.T, name string) (address string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// startWithStore starts a gateway that finds its service in the store and keeps its state in folder.
func startWithStore(t *testing.T, s *store, folder string) *weirtest.Gateway {
	t.Helper()
	path := filepath.Join(folder, "weir.yaml")
	if err := os.WriteFile(path, []byte("listen: :8080\ndiscovery:\n  etcd: http://"+s.address+"\nroutes:\n  GET /: etcd:users\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := weirtest.Start(t, path, "--state", filepath.Join(folder, "state"))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("weir says:\n%s", g.Log())
		}
	})
	return g
}

// answers returns the status and the name of the backend that answers.
func answers(g *weirtest.Gateway) (string, error) {
	res, err := http.Get("http://" + g.Address + "/") //nolint:noctx // the gateway bounds it
	if err != nil {
		return "", err //nolint:wrapcheck // a test's
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return fmt.Sprintf("%d %s", res.StatusCode, text), err //nolint:wrapcheck // a test's
}

func awaitAnswer(t *testing.T, g *weirtest.Gateway, want string) {
	t.Helper()
	await.That(t, "the answer "+want, func() bool {
		got, err := answers(g)
		return err == nil && got == want
	})
}

// TestEtcdKilledWhileWeirRestarts checks that a gateway that starts while etcd is down serves as before, and follows
// etcd again once it is back.
func TestEtcdKilledWhileWeirRestarts(t *testing.T) {
	s, folder := startStore(t), t.TempDir()
	s.register("a", backendNamed(t, "a"))
	g := startWithStore(t, s, folder)
	awaitAnswer(t, g, "200 a")
	await.That(t, "the endpoints are on disk", func() bool { return len(onShelf(t, filepath.Join(folder, "state"))) == 1 })
	s.kill()
	g.Kill()
	g = startWithStore(t, s, folder)
	if got, err := answers(g); got != "200 a" || err != nil {
		t.Errorf("in the bad hour it answers %s, %v", got, err)
	}
	if h := heardOf(t, g); h.Kind != "endpoints" || !h.Kept || h.Count != 1 {
		t.Errorf("in the bad hour it stands so: %+v", h)
	}
	s.start()
	s.register("b", backendNamed(t, "b"))
	s.deregister("a")
	awaitAnswer(t, g, "200 b")
	await.That(t, "its problem is over", func() bool { return heardOf(t, g).Problem == "" }) // a moment after the new endpoints are used
	if h := heardOf(t, g); h.Kept {
		t.Errorf("afterwards it stands so: %+v", h)
	}
}

// TestTrafficWhileEtcdIsStoppedAndKilled checks that no request is lost meanwhile, and that changes are noticed when
// etcd is back.
func TestTrafficWhileEtcdIsStoppedAndKilled(t *testing.T) {
	stopped := 30 * time.Second
	if testing.Short() {
		stopped = time.Second
	}
	s := startStore(t)
	s.register("a", backendNamed(t, "a"))
	g := startWithStore(t, s, t.TempDir())
	awaitAnswer(t, g, "200 a")
	var asked, failed atomic.Int64
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			if got, err := answers(g); err != nil || !strings.HasPrefix(got, "200 ") {
				if failed.Add(1) < 10 {
					t.Logf("%s, %v", got, err)
				}
			}
			asked.Add(1)
		}
	}()
	began := time.Now()
	s.signal(syscall.SIGSTOP)
	select {
	case <-time.After(stopped):
	case <-t.Context().Done():
	}
	s.signal(syscall.SIGCONT)
	s.register("b", backendNamed(t, "b"))
	s.deregister("a")
	awaitAnswer(t, g, "200 b")
	t.Logf("after %v stopped, a change is heard %v later", stopped, time.Since(began)-stopped)
	s.kill()
	s.start()
	s.register("c", backendNamed(t, "c"))
	s.deregister("b")
	awaitAnswer(t, g, "200 c")
	close(done)
	<-ended
	if failed.Load() > 0 {
		t.Errorf("%d of %d requests failed", failed.Load(), asked.Load())
	}
	t.Logf("%d requests, none lost", asked.Load())
}
