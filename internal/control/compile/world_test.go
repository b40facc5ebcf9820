package compile_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	auths "github.com/weir-gateway/weir/internal/auth/all"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/keep"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/control/compile"
	discoveries "github.com/weir-gateway/weir/internal/discovery/all"
	"github.com/weir-gateway/weir/internal/filter"
	filters "github.com/weir-gateway/weir/internal/filter/all"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a compiler with a gateway that serves what it compiles, and with a
// kind of functions and some filters that keep a diary.
type world struct {
	t        *testing.T
	folder   string
	diary    diary
	parts    compile.Parts
	compiler *compile.Compiler
	gateway  *snapshot.Gateway
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, folder: t.TempDir()}
	w.parts = compile.Parts{
		Filters: append(filters.Definitions(),
			w.filter("outer", filter.StageAuth), w.filter("inner", filter.StageWAF), w.filter("last", filter.StageTransform), w.counter()),
		Providers: discoveries.Definitions(),
		Functions: []function.Definition{w.function()},
		Auths:     auths.Definitions(),
	}
	w.compiler = w.newCompiler()
	w.gateway = snapshot.NewGateway(snapshot.Options{
		Log: slog.New(slog.DiscardHandler), Connection: func(context.Context) *exchange.Connection { return &exchange.Connection{Peer: peer()} },
	})
	t.Cleanup(func() { w.compiler.Close(context.Background()) })
	return w
}

func (w *world) newCompiler() *compile.Compiler {
	return compile.New(w.parts, compile.Options{Log: slog.New(slog.DiscardHandler), Secret: secret.Resolve})
}

func peer() netip.AddrPort { return netip.MustParseAddrPort("192.0.2.1:4000") }

func httptestRequest(target string) *http.Request {
	return httptest.NewRequest(http.MethodGet, target, nil)
}

// load reads a config that must be valid; it listens on :8080 unless it says otherwise.
func (w *world) load(text string) *config.Config {
	w.t.Helper()
	if !strings.HasPrefix(text, "listen:") {
		text = "listen: :8080\n" + text
	}
	path := filepath.Join(w.folder, "weir.yaml")
	result := config.Load([]config.Source{{Path: path, Data: []byte(text)}}, w.parts.Vocabulary())
	if result.Config == nil {
		w.t.Fatalf("the config of the test is not valid: %v\n%s", result.Problems, text)
	}
	return result.Config
}

func (w *world) compile(cfg *config.Config) *compile.Pending {
	w.t.Helper()
	pending, problems := w.compiler.Compile(cfg, "digest")
	if pending == nil {
		w.t.Fatalf("refused: %v", problems)
	}
	return pending
}

// serve makes a config the one that serves, and ends what is no longer used.
func (w *world) serve(cfg *config.Config) {
	w.t.Helper()
	pending := w.compile(cfg)
	w.gateway.Swap(pending.Snapshot)
	pending.Commit()(context.Background())
}

// get asks the gateway, header after header.
func (w *world) get(target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer := httptest.NewRecorder()
	w.gateway.Handler(":8080").ServeHTTP(answer, r)
	return answer
}

// counter is a filter that counts requests across snapshots.
func (w *world) counter() filter.Definition {
	type count struct {
		Name string `doc:"name"`
	}
	return filter.Define("count", "counts requests", filter.StageLimit, func() count { return count{} },
		func(env filter.Env, c *count) (filter.Policy, error) {
			n, err := keep.In(env.Keep, c.Name, func() (*atomic.Int64, func(context.Context), error) {
				w.diary.notef("made %s", c.Name)
				return new(atomic.Int64), func(context.Context) { w.diary.notef("ended %s", c.Name) }, nil
			})
			return filter.Policy{Guard: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					rw.Header().Set("X-Count", strconv.FormatInt(n.Add(1), 10))
					next.ServeHTTP(rw, r)
				})
			}}, err
		})
}

// diary is what was done, in order.
type diary struct {
	mu      sync.Mutex
	entries []string
}

func (d *diary) notef(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, fmt.Sprintf(format, args...))
}

// take gives the entries since the last call.
func (d *diary) take() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	text := strings.Join(d.entries, ", ")
	d.entries = nil
	return text
}

// sorted is take for what is done in no order.
func (d *diary) sorted() string {
	list := strings.Split(d.take(), ", ")
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// functionConfig has one field that is identity and one that is tunable.
type functionConfig struct {
	Echo   string         `doc:"echo,required"`
	Max    int            `doc:"max"`
	Secret *config.Secret `doc:"secret"`
}

// echo answers with a text.
type echo struct {
	name, text string
	diary      *diary
}

func (e *echo) RoundTrip(r *http.Request) (*http.Response, error) {
	return answer(r, e.text), nil
}

func answer(r *http.Request, text string) *http.Response {
	recorder := httptest.NewRecorder()
	recorder.WriteString(text)
	res := recorder.Result()
	res.Request = r
	return res
}

func (e *echo) Tune(cfg any) {
	e.diary.notef("tune %s to max %d", e.text, cfg.(*functionConfig).Max)
}
func (e *echo) Status() function.Status     { return function.Status{Instances: 1} }
func (e *echo) Close(context.Context) error { e.diary.notef("close %s", e.text); return nil }

func (w *world) function() function.Definition {
	return function.Define(function.Parts[functionConfig]{
		Kind: "echo", Summary: "answers with a text", Scheme: config.Scheme{Name: "fn", Example: "fn:hello"},
		Defaults: func() functionConfig { return functionConfig{Max: 1} },
		Check: func(_ function.Env, c *functionConfig) error {
			if c.Echo == "broken" {
				return fmt.Errorf("it cannot say %q", c.Echo)
			}
			return nil
		},
		Build: func(env function.Env, name string, c *functionConfig) (function.Backend, error) {
			if c.Echo == "broken" {
				return nil, fmt.Errorf("it cannot say %q", c.Echo)
			}
			if c.Secret != nil {
				if _, err := env.Secret(c.Secret.Template); err != nil {
					return nil, err
				}
			}
			w.diary.notef("build %s", c.Echo)
			return &echo{name, c.Echo, &w.diary}, nil
		},
		Same: func(a, b *functionConfig) bool { return a.Echo == b.Echo },
	})
}

// filterConfig is "ok", or "broken" to fail where it is built.
type filterConfig struct{ text string }

func (c *filterConfig) DecodeDoc(n *doc.Node, _ *doc.Problems) { c.text = n.Value }

// filter is a guard, or from StageCache on an adapter, that notes when a request passes.
func (w *world) filter(name string, stage filter.Stage) filter.Definition {
	return filter.Define(name, "notes what passes", stage, func() filterConfig { return filterConfig{} },
		func(_ filter.Env, c *filterConfig) (filter.Policy, error) {
			if c.text == "broken" {
				return filter.Policy{}, fmt.Errorf("it was told to fail")
			}
			p := filter.Policy{Note: c.text, Close: func() { w.diary.notef("end %s", name) }}
			if stage < filter.StageCache {
				p.Guard = func(next http.Handler) http.Handler {
					return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.diary.notef("%s", name); next.ServeHTTP(rw, r) })
				}
				return p, nil
			}
			p.Adapt = func(next http.RoundTripper) http.RoundTripper {
				return roundTripper(func(r *http.Request) (*http.Response, error) { w.diary.notef("%s", name); return next.RoundTrip(r) })
			}
			return p, nil
		})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// backend is a server that answers with its name.
func backend(t *testing.T, name string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s", name, r.RemoteAddr)
	}))
	t.Cleanup(s.Close)
	return s
}

// openOf counts the descriptors of this process that are of path, and leaves those alone that the
// tests before it may still be closing; -1 where that cannot be known.
func openOf(path string) (n int) {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	for _, e := range list {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && target == path {
			n++
		}
	}
	return n
}

func lines(problems []doc.Problem) []string {
	var list []string
	for _, p := range problems {
		list = append(list, p.String())
	}
	slices.Sort(list)
	return list
}
