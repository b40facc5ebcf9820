//go:build unix

// Package registry tests what a registry must survive: it is killed, stopped and replaced under load, and so are the
// registered programs. The test uses real processes and real signals.
package registry

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

// TestMain also serves as the program that is registered.
func TestMain(m *testing.M) {
	if port := os.Getenv("PORT"); os.Getenv("REGISTERED_PROGRAM") != "" {
		serve(port)
		return
	}
	code := m.Run()
	weirtest.Cleanup()
	os.Exit(code)
}

// serve answers with its process id until it is asked to end. It then finishes the requests that are under way.
func serve(port string) {
	server := &http.Server{Addr: "127.0.0.1:" + port, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, os.Getpid())
	})}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	ended := make(chan struct{})
	go func() {
		<-terminated
		_ = server.Close()
		close(ended)
	}()
	_ = server.ListenAndServe()
	<-ended
}

// write writes a config that listens on free ports.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// gateway starts a gateway with a registry of its own.
func gateway(t *testing.T) *weirtest.Gateway {
	t.Helper()
	return weirtest.Start(t, write(t, "listen: :8080\nregistry: 127.0.0.1:0\ntelemetry: { access_log: off }\nroutes:\n  ANY /**: registry:users\n"))
}

// registered is a `weir register` with its program.
type registered struct {
	process *exec.Cmd
	log     *await.Text
	done    chan struct{}
}

func register(t *testing.T, registry string, more ...string) *registered {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	arguments := append([]string{"register", "users", "--port", "0", "--health", "/", "--ttl", "3s", "--registry", "http://" + registry}, more...)
	r := &registered{process: exec.Command(weirtest.Binary(t), append(arguments, "--", self)...), log: &await.Text{}, done: make(chan struct{})}
	r.process.Env = append(os.Environ(), "REGISTERED_PROGRAM=1")
	r.process.Stderr = r.log
	if err := r.process.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { defer close(r.done); _ = r.process.Wait() }()
	t.Cleanup(func() {
		_ = r.process.Process.Kill()
		<-r.done
		if t.Failed() {
			t.Logf("weir register:\n%s", r.log)
		}
	})
	await.That(t, "it is registered", func() bool { return strings.Contains(r.log.String(), "registered  service=users") })
	return r
}

// end ends it as its operator would.
func (r *registered) end(t *testing.T) {
	t.Helper()
	if err := r.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await.From(t, "the end of weir register", r.done)
}

// answers sends one request, and returns who answered.
func answers(client *http.Client, address, method string) (string, error) {
	r, err := http.NewRequest(method, "http://"+address+"/", strings.NewReader(strings.Repeat("x", len(method))))
	if err != nil {
		return "", err
	}
	res, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", method, res.Status, text)
	}
	return string(text), err
}

func client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func served(t *testing.T, address string) string {
	t.Helper()
	c, by := client(t), ""
	await.That(t, "an instance answers", func() bool {
		var err error
		by, err = answers(c, address, http.MethodGet)
		return err == nil
	})
	return by
}

// load sends requests all the time until it is stopped, and reports how many it sent and what failed.
func load(t *testing.T, address string, methods ...string) (stop func() (asked int64)) {
	t.Helper()
	var asked atomic.Int64
	over := make(chan struct{})
	var all sync.WaitGroup
	for _, method := range methods {
		c := client(t)
		all.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				if _, err := answers(c, address, method); err != nil {
					t.Errorf("request %d has failed: %v", asked.Load(), err)
				}
				asked.Add(1)
			}
		})
	}
	end := sync.OnceFunc(func() { close(over); all.Wait() })
	t.Cleanup(end)
	return func() int64 { end(); return asked.Load() }
}

// goesOn waits for n further answers.
func goesOn(t *testing.T, what string, n int, address string) {
	t.Helper()
	c := client(t)
	for range n {
		if _, err := answers(c, address, http.MethodGet); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// apart is an address of this machine from which nothing connects, so that a server that is killed there finds its
// port free again. At 127.0.0.1 a connection that is made meanwhile might have taken the port.
var apart = map[bool]string{true: "127.0.5.1", false: "127.0.0.1"}[runtime.GOOS == "linux"]

func TestARegistryThatIsKilledCostsNoRequest(t *testing.T) {
	state := t.TempDir()
	config := write(t, "listen: :8080\nregistry: "+apart+":0\nroutes: {}\n")
	registry := weirtest.Start(t, config, "--state", state)
	again := write(t, "listen: :8080\nregistry: "+registry.Registry+"\nroutes: {}\n")
	edge := weirtest.Start(t, write(t, "listen: :8080\ntelemetry: { access_log: off }\ndiscovery:\n  registry: http://"+registry.Registry+"\nroutes:\n  ANY /**: registry:users\n"))
	register(t, registry.Registry)
	register(t, registry.Registry)
	served(t, edge.Address)
	stop := load(t, edge.Address, http.MethodGet, http.MethodPost)
	for n, where := range []string{"off", state} { // first a registry without its state folder, then one with the state
		registry.Kill()
		goesOn(t, "while there is no registry", 200, edge.Address)
		had := strings.Count(edge.Log(), "endpoints are found again")
		registry = weirtest.Start(t, again, "--state", where)
		await.That(t, fmt.Sprintf("the registry is seen again, %d", n), func() bool { return strings.Count(edge.Log(), "endpoints are found again") > had })
		goesOn(t, "afterwards", 200, edge.Address)
	}
	if n := stop(); n < 100 {
		t.Errorf("only %d requests were sent", n)
	}
}

func TestARegistryThatIsStoppedForLongerThanTheTTLForgetsNobody(t *testing.T) {
	g := gateway(t)
	for range 3 {
		register(t, g.Registry)
	}
	served(t, g.Address)
	pid, err := os.FindProcess(g.Pid())
	if err != nil {
		t.Fatal(err)
	}
	if err := pid.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	<-time.After(5 * time.Second) // longer than the TTL of 3 s, which is what is tested
	if err := pid.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	goesOn(t, "after the stop", 500, g.Address)
	res, err := client(t).Get("http://" + g.Registry + "/v1/registry/services/users")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if n := strings.Count(string(text), `"state":"live"`); err != nil || n != 3 {
		t.Errorf("%d instances are left: %s, %v", n, text, err)
	}
	await.That(t, "the log tells of it", func() bool { return strings.Contains(g.Log(), "this process was away") })
}

func TestAProgramThatIsKilledIsReplacedWithoutALostRequest(t *testing.T) {
	g := gateway(t)
	register(t, g.Registry)
	register(t, g.Registry)
	stop := load(t, g.Address, http.MethodGet, http.MethodPut)
	for range 3 {
		by := served(t, g.Address)
		var pid int
		if _, err := fmt.Sscan(by, &pid); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		c := client(t)
		await.That(t, "two others answer", func() bool {
			found := map[string]bool{}
			for range 20 {
				if by, err := answers(c, g.Address, http.MethodGet); err == nil {
					found[by] = true
				}
			}
			return len(found) == 2 && !found[by]
		})
	}
	if n := stop(); n < 100 {
		t.Errorf("only %d requests were sent", n)
	}
}

func TestNothingIsLeftOfAKilledRegister(t *testing.T) {
	g := gateway(t)
	r := register(t, g.Registry)
	var pid int
	if _, err := fmt.Sscan(served(t, g.Address), &pid); err != nil {
		t.Fatal(err)
	}
	if err := r.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	await.That(t, "the program has ended", func() bool { return ended(pid) })
	await.That(t, "the registry lets go of it", func() bool {
		res, err := client(t).Get("http://" + g.Registry + "/v1/registry/services")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return strings.Contains(string(text), `"services":{}`)
	})
}

// ended reports whether a process has ended, whether or not it was waited for.
func ended(pid int) bool {
	out, err := exec.Command("ps", "-o", "stat=", "-p", fmt.Sprint(pid)).Output()
	return err != nil || strings.HasPrefix(strings.TrimSpace(string(out)), "Z")
}

// TestARollingUpdateLosesNothing replaces three instances, one every 300 ms, while requests go to the service. Each
// old instance goes on for a second, because the last requests that were sent to it may take a busy machine a part of
// that.
func TestARollingUpdateLosesNothing(t *testing.T) {
	const times = 20
	g := gateway(t)
	var running []*registered
	for range 3 {
		running = append(running, register(t, g.Registry, "--drain", "1s"))
	}
	served(t, g.Address)
	stop := load(t, g.Address, http.MethodGet, http.MethodPost, http.MethodPost)
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	var leaving sync.WaitGroup
	for n := range times {
		next := register(t, g.Registry, "--drain", "1s")
		before := running[n%3]
		running[n%3] = next
		leaving.Go(func() { before.end(t) })
		<-tick.C
	}
	leaving.Wait()
	t.Logf("%d instances were replaced while %d requests were sent", times, stop())
}
