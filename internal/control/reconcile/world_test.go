package reconcile_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/control/compile"
	"github.com/weir-gateway/weir/internal/control/reconcile"
	discoveries "github.com/weir-gateway/weir/internal/discovery/all"
	filters "github.com/weir-gateway/weir/internal/filter/all"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
	"github.com/weir-gateway/weir/internal/wire/listen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a Reconciler over real sockets on loopback.
type world struct {
	t          *testing.T
	folder     string
	parts      compile.Parts
	gateway    *snapshot.Gateway
	reconciler *reconcile.Reconciler
}

func newWorld(t *testing.T) *world {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	w := &world{t: t, folder: t.TempDir(), parts: compile.Parts{Filters: filters.Definitions(), Providers: discoveries.Definitions()}}
	w.gateway = snapshot.NewGateway(snapshot.Options{Log: log, Connection: listen.ConnectionFrom, Terms: listen.TermsFrom})
	w.reconciler = reconcile.New(reconcile.Options{
		Compiler: compile.New(w.parts, compile.Options{Log: log, Secret: secret.Resolve}), Gateway: w.gateway,
		Open: func(w listen.Want) (net.Listener, error) { return listen.Open(context.Background(), w.Address) },
		Serve: func(l net.Listener, s reconcile.Site) reconcile.Server {
			o := &server{Server: listen.New(listen.Options{
				Listener: l, Handler: s.Handler, TLS: s.TLS, Announced: s.Announced, Limits: s.Limits, H2C: true, Log: log,
			}), done: make(chan struct{})}
			go func() {
				defer close(o.done)
				if err := o.Serve(); err != nil && !errors.Is(err, net.ErrClosed) {
					t.Errorf("serve: %v", err)
				}
			}()
			return o
		},
		Log: log, Drain: time.Hour, IdleGrace: 200 * time.Millisecond, // nothing that a test waits for comes by the end of that time
	})
	t.Cleanup(w.close)
	return w
}

type server struct {
	*listen.Server
	done chan struct{}
}

func (s *server) Shutdown(ctx, idle context.Context) error {
	err := s.Server.Shutdown(ctx, idle)
	<-s.done
	return err
}

func (w *world) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w.reconciler.Close(ctx)
}

func (w *world) load(text string) *config.Config {
	w.t.Helper()
	result := config.Load([]config.Source{{Path: filepath.Join(w.folder, "weir.yaml"), Data: []byte(text)}}, w.parts.Vocabulary())
	if result.Config == nil {
		w.t.Fatalf("the config of the test is not valid: %v\n%s", result.Problems, text)
	}
	return result.Config
}

// apply makes a config serve.
func (w *world) apply(text string) {
	w.t.Helper()
	if report, err := w.reconciler.Apply(w.load(text), text); err != nil {
		w.t.Fatalf("%v: %v", err, report.Problems)
	}
}

// address is where the only socket listens.
func (w *world) address() string {
	w.t.Helper()
	for _, address := range w.reconciler.Addresses() {
		return address
	}
	w.t.Fatal("nothing listens")
	return ""
}

// newClient keeps connections alive and trusts everybody.
func newClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "shop.dev"}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 20 * time.Second}
}

// newConnections makes a connection for each request.
func newConnections(t *testing.T) *http.Client {
	t.Helper()
	c := newClient(t)
	c.Transport.(*http.Transport).DisableKeepAlives = true
	return c
}

func get(c *http.Client, url string) (string, error) {
	res, err := c.Get(url)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", errors.New(res.Status + " " + string(body))
	}
	return string(body), nil
}

// expect asks once and compares the body.
func expect(t *testing.T, c *http.Client, url, want string) {
	t.Helper()
	if got, err := get(c, url); err != nil || got != want {
		t.Errorf("GET %s: got %q, %v, want %q", url, got, err, want)
	}
}

func openFiles() int {
	list, _ := os.ReadDir("/proc/self/fd") // elsewhere it is 0, and never grows
	return len(list)
}
