package register_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/process"
	base "github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/discovery/registry/remote"
	"github.com/weir-gateway/weir/internal/register"
	"github.com/weir-gateway/weir/internal/traffic/registryapi"
	"github.com/weir-gateway/weir/internal/traffic/registryapi/registryapitest"
)

// TestMain is the program that is registered, where a test has started it as that.
func TestMain(m *testing.M) {
	if os.Getenv("PROGRAM_OF_A_TEST") == "" {
		os.Exit(m.Run())
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	healthy := true
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if !healthy {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/spoil", func(http.ResponseWriter, *http.Request) { healthy = false })
	mux.HandleFunc("/exit", func(_ http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.URL.Query().Get("code"))
		os.Exit(code)
	})
	go func() { _ = http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), mux) }()
	<-terminated
	// Whether the registry still knows anybody when the program is asked to end.
	res, err := http.Get(os.Getenv("PROGRAM_OF_A_TEST") + "/v1/registry/services/users")
	if err != nil {
		os.Exit(3)
	}
	text, _ := io.ReadAll(res.Body)
	fmt.Fprintf(os.Stderr, "asked to end while the registry has %s", text)
	os.Exit(0)
}

// world is a registry with a program that is registered there.
type world struct {
	*base.Registry

	log    *await.Text
	end    context.CancelFunc
	code   chan int
	wrong  string       // begins why it cannot run; "": it can
	refuse atomic.Int32 // the status that the registry answers with instead; 0: it serves
}

func start(t *testing.T, change ...func(*register.Options)) *world {
	t.Helper()
	return startIn(t, func(*world) {}, change...)
}

// startIn is start where prepare has changed the world before.
func startIn(t *testing.T, prepare func(*world), change ...func(*register.Options)) *world {
	t.Helper()
	r, err := base.New(base.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r.Open()
	w := &world{Registry: r, log: &await.Text{}, code: make(chan int, 1)}
	prepare(w)
	api := registryapitest.Handler(registryapi.New(registryapi.Options{Registry: r}))
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		if status := w.refuse.Load(); status != 0 {
			out.WriteHeader(int(status))
			return
		}
		api.ServeHTTP(out, in)
	}))
	client, err := remote.New(remote.Options{URL: server.URL, Agent: "test"})
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	host := process.NewHost(nil)
	if err := host.Open(log); err != nil {
		t.Fatal(err)
	}
	out, err := os.CreateTemp(t.TempDir(), "output")
	if err != nil {
		t.Fatal(err)
	}
	o := register.Options{
		Service: "users", Instance: register.Instance{Weight: 1, Tags: []string{"x"}, TTL: base.LeastTTL}, Registry: client, Host: host, Path: self,
		Env: append(os.Environ(), "PROGRAM_OF_A_TEST="+server.URL), Output: &[2]*os.File{out, out},
		Health: register.Health{Path: "/healthz", Every: 50 * time.Millisecond, Doubt: 10 * time.Millisecond, Timeout: await.Patience, Failures: 2},
		Start:  await.Patience, Drain: 10 * time.Millisecond, Stop: await.Patience, Restart: register.Always, Log: log,
	}
	for _, c := range change {
		c(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.end = cancel
	var running sync.WaitGroup
	running.Go(func() {
		code, err := register.Run(ctx, o)
		if (err == nil) != (w.wrong == "") || err != nil && !strings.HasPrefix(err.Error(), w.wrong) {
			t.Errorf("it ends with %v", err)
		}
		w.code <- code
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		host.Close()
		client.Close()
		server.Close()
		r.Close()
		if text, err := os.ReadFile(out.Name()); err == nil && strings.Contains(string(text), `"id"`) {
			t.Errorf("%s", text)
		}
		_ = out.Close()
	})
	return w
}

// one waits for an instance that is not the one before, and gives it.
func (w *world) one(t *testing.T, before string) base.Entry {
	t.Helper()
	var found base.Entry
	await.That(t, "another instance is registered", func() bool {
		list, _ := w.List("users")
		if len(list) != 1 || list[0].ID == before {
			return false
		}
		found = list[0]
		return true
	})
	return found
}

func get(t *testing.T, e base.Entry, path string) {
	t.Helper()
	if res, err := http.Get("http://" + e.Address.String() + path); err == nil { // it may end before it has answered
		_ = res.Body.Close()
	}
}

func TestAProgramIsRegisteredUntilItIsAskedToEnd(t *testing.T) {
	w := start(t)
	e := w.one(t, "")
	if e.Weight != 1 || e.Tags[0] != "x" || e.TTL != base.LeastTTL || !e.Address.Addr().IsLoopback() {
		t.Errorf("%+v", e.Instance)
	}
	w.end()
	if code := await.From(t, "the end", w.code); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if list, _ := w.List("users"); len(list) != 0 {
		t.Errorf("%v is left", list)
	}
	log := w.log.String()
	if gone, asked := strings.Index(log, "deregistered"), strings.Index(log, "is asked to end"); gone < 0 || asked < gone {
		t.Errorf("the log is\n%s", log)
	}
}

func TestAProgramThatDiesIsReplaced(t *testing.T) {
	w := start(t)
	e := w.one(t, "")
	get(t, e, "/exit?code=1")
	if next := w.one(t, e.ID); next.Address == e.Address {
		t.Errorf("a free port was asked for, and it is %s again", next.Address)
	}
}

func TestAProgramThatIsHealthyNoMoreIsReplaced(t *testing.T) {
	w := start(t)
	e := w.one(t, "")
	get(t, e, "/spoil")
	w.one(t, e.ID)
	if !strings.Contains(w.log.String(), "/healthz answers 503") {
		t.Errorf("the log is\n%s", w.log)
	}
}

func TestARegistryThatHasForgottenIsToldAnew(t *testing.T) {
	w := start(t)
	e := w.one(t, "")
	if err := w.Remove("users", e.ID); err != nil {
		t.Fatal(err)
	}
	if again := w.one(t, ""); again.ID != e.ID {
		t.Errorf("the same program is %s and %s", e.ID, again.ID)
	}
}

func TestWhereItIsNotStartedAgainItsCodeIsKnown(t *testing.T) {
	for restart, code := range map[register.Restart]int{register.Never: 7, register.OnFailure: 0} {
		w := start(t, func(o *register.Options) { o.Restart, o.Health.Failures = restart, 1<<20 })
		get(t, w.one(t, ""), "/exit?code="+strconv.Itoa(code))
		if got := await.From(t, "the end", w.code); got != code {
			t.Errorf("%s: exit code %d", restart, got)
		}
	}
}

func TestAProgramThatDiesWhileTheRegistryIsAwayIsReplaced(t *testing.T) {
	away := func(w *world) { w.refuse.Store(http.StatusServiceUnavailable) }
	w := startIn(t, away)
	started := func(n int) string {
		t.Helper()
		await.That(t, "the program is started", func() bool { return strings.Count(w.log.String(), "the program was started") == n })
		_, rest, _ := strings.Cut(w.log.String()[strings.LastIndex(w.log.String(), "the program was started"):], "port=")
		port, _, _ := strings.Cut(rest, "\n")
		return "http://127.0.0.1:" + port
	}
	first := started(1)
	await.That(t, "the registry was asked", func() bool { return strings.Contains(w.log.String(), "the registry answers 503") })
	if res, err := http.Get(first + "/exit?code=1"); err == nil {
		_ = res.Body.Close()
	}
	started(2)
	w.refuse.Store(0)
	w.one(t, "")
	if n := strings.Count(w.log.String(), "the registry cannot be asked"); n < 1 || n > 2 {
		t.Errorf("for two starts it is told %d times:\n%s", n, w.log)
	}
}

func TestAStrangerOnItsPortIsNotRegistered(t *testing.T) {
	stranger, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	at, _ := stranger.Addr().(*net.TCPAddr)
	takesPort := func(o *register.Options) { o.Instance.Port, o.Health.Path = at.Port, "" }
	if runtime.GOOS == "linux" { // where it is told whose a socket is
		w := start(t, takesPort)
		await.That(t, "the stranger is seen", func() bool { return strings.Contains(w.log.String(), "somebody else answers on the program's port") })
		if list, _ := w.List("users"); len(list) != 0 {
			t.Errorf("registered is %v", list)
		}
		w.end()
		await.From(t, "the end", w.code)
	}
	w := start(t, takesPort, func(o *register.Options) { o.Health.Anybody = true })
	w.one(t, "")
}

func TestARefusalIsToldAsOne(t *testing.T) {
	w := start(t)
	e := w.one(t, "")
	w.refuse.Store(http.StatusUnauthorized)
	await.That(t, "the refusal is told", func() bool { return strings.Contains(w.log.String(), "level=ERROR") })
	log := w.log.String()
	if !strings.Contains(log, "the registry refuses the token") || !strings.Contains(log, "--token-file") || strings.Contains(log, "does not answer") {
		t.Errorf("the log is\n%s", log)
	}
	w.refuse.Store(http.StatusServiceUnavailable)
	await.That(t, "something else is told", func() bool { return strings.Contains(w.log.String(), "the registry answers 503") })
	w.refuse.Store(0)
	await.That(t, "it is told that it is over", func() bool { return strings.Contains(w.log.String(), "the registry takes the instance again") })
	if n := strings.Count(w.log.String(), "the registry refuses the token"); n != 1 {
		t.Errorf("told %d times:\n%s", n, w.log)
	}
	if again := w.one(t, ""); again.ID != e.ID {
		t.Errorf("the same program is %s and %s", e.ID, again.ID)
	}
}

func TestWhatTheRegistryRefusesFromTheFirstEnds(t *testing.T) {
	w := startIn(t, func(w *world) {
		w.refuse.Store(http.StatusForbidden)
		w.wrong = "register users: the registry answers 403"
	})
	await.From(t, "the end", w.code)
}
