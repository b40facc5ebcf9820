package follow_test

import (
	"context"
	"log/slog"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/control/compile"
	"github.com/weir-gateway/weir/internal/control/follow"
	"github.com/weir-gateway/weir/internal/control/history"
	"github.com/weir-gateway/weir/internal/control/reconcile"
	"github.com/weir-gateway/weir/internal/control/source"
	discoveries "github.com/weir-gateway/weir/internal/discovery/all"
	filters "github.com/weir-gateway/weir/internal/filter/all"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
	"github.com/weir-gateway/weir/internal/wire/listen"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a folder of configs with a process that follows it, and a state folder
// that outlives the process.
type world struct {
	t        *testing.T
	folder   string
	state    string
	follower *follow.Follower
	gateway  *snapshot.Gateway
	end      func()
	log      await.Text
}

const main = "listen: 127.0.0.1:0\nadmin: off\ngroups: { a: {}, b: {}, c: {} }\n"

// newWorld lays the files of three teams out.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, folder: t.TempDir(), state: filepath.Join(t.TempDir(), "state")}
	w.write("main.yaml", main)
	for _, team := range []string{"a", "b", "c"} {
		w.says(team, "1")
	}
	return w
}

func (w *world) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.folder, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) remove(name string) {
	w.t.Helper()
	if err := os.Remove(filepath.Join(w.folder, name)); err != nil {
		w.t.Fatal(err)
	}
}

// says makes a team's file answer with text, with more lines behind it.
func (w *world) says(team, text string, more ...string) {
	w.t.Helper()
	w.write(team+".yaml", "group: "+team+"\nroutes:\n  GET /"+team+": respond:v"+text+"\n"+strings.Join(more, "\n"))
}

// start begins a process. The age is how old the last good config may be.
func (w *world) start(age time.Duration) (follow.Report, error) {
	w.t.Helper()
	log := slog.New(slog.NewTextHandler(&w.log, nil))
	parts := compile.Parts{Filters: filters.Definitions(), Providers: discoveries.Definitions()}
	w.gateway = snapshot.NewGateway(snapshot.Options{
		Log: log, Connection: func(context.Context) *exchange.Connection {
			return &exchange.Connection{Peer: netip.MustParseAddrPort("192.0.2.1:4000")}
		},
	})
	reconciler := reconcile.New(reconcile.Options{
		Compiler: compile.New(parts, compile.Options{Log: log, Secret: secret.Resolve}), Gateway: w.gateway,
		Open:  func(w listen.Want) (net.Listener, error) { return net.Listen("tcp", w.Address) },
		Serve: func(l net.Listener, _ reconcile.Site) reconcile.Server { go turnAway(l); return deaf{} },
		Log:   log, Drain: time.Second,
	})
	kept, lost, err := history.Open(w.state, 3)
	if err != nil {
		w.t.Fatal(err)
	}
	if lost != nil {
		log.Warn("lost", "error", lost)
	}
	w.follower = follow.New(follow.Options{
		Input: source.Input{Path: w.folder}, Vocabulary: parts.Vocabulary(), Reconciler: reconciler, History: kept, MaxAge: age, Log: log,
	})
	w.end = sync.OnceFunc(func() { w.follower.Touch(); reconciler.Close(context.Background()) })
	w.t.Cleanup(w.end)
	return w.follower.Start()
}

// mustStart begins a process that must serve.
func (w *world) mustStart() {
	w.t.Helper()
	if report, err := w.start(0); err != nil {
		w.t.Fatal(err, report.Problems)
	}
}

// turnAway closes what connects, until l ends.
func turnAway(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.Close()
	}
}

// deaf is a server that serves nobody: requests go to the gateway itself.
type deaf struct{}

func (deaf) Leave()                              {}
func (deaf) Shutdown(_, _ context.Context) error { return nil }

// answers tells what the teams' routes answer, "-" for one without a route.
func (w *world) answers() string {
	w.t.Helper()
	var all []string
	for _, path := range []string{"/a", "/b", "/c"} {
		answer := httptest.NewRecorder()
		w.gateway.Handler("127.0.0.1:0").ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		if answer.Code == 404 {
			all = append(all, "-")
			continue
		}
		all = append(all, strings.TrimPrefix(answer.Body.String(), "v"))
	}
	return strings.Join(all, " ")
}

// expect holds what is answered, and which files are bad.
func (w *world) expect(what, answers string, bad ...string) {
	w.t.Helper()
	if got := w.answers(); got != answers {
		w.t.Errorf("%s: the routes answer %q, want %q", what, got, answers)
	}
	var files []string
	for _, b := range w.follower.Status().Bad {
		files = append(files, filepath.Base(b.File))
		if len(b.Problems) == 0 || b.Since.IsZero() {
			w.t.Errorf("%s: %s is bad, and nobody says why: %+v", what, b.File, b)
		}
	}
	if !slices.Equal(files, bad) {
		w.t.Errorf("%s: bad are %q, want %q", what, files, bad)
	}
}

func (w *world) read() (follow.Report, error) { return w.follower.Read() }
