// Package app creates every part of a running gateway by hand, in the order in which they start, and stops them in the
// reverse order.
//
//   - app.go: the order.
//   - listen.go: servers on sockets.
//   - admin.go: the server of the admin API.
//   - memory.go: the guard of the process's memory; garbage.go: how often garbage is collected; quiet.go: when memory is given back.
//   - stop.go: the end.
//   - upgrade.go: the end when another process takes over.
//   - notify.go: messages to a service manager.
//   - telemetry.go: metrics that belong to no route.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	auths "github.com/weir-gateway/weir/internal/auth/all"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/queue"
	"github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/base/shelf"
	"github.com/weir-gateway/weir/internal/base/sockets"
	"github.com/weir-gateway/weir/internal/base/statefile"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/base/telemetry/accesslog"
	"github.com/weir-gateway/weir/internal/base/telemetry/tracing"
	clouds "github.com/weir-gateway/weir/internal/cloud/all"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/control/compile"
	"github.com/weir-gateway/weir/internal/control/follow"
	"github.com/weir-gateway/weir/internal/control/history"
	"github.com/weir-gateway/weir/internal/control/reconcile"
	"github.com/weir-gateway/weir/internal/control/source"
	discoveries "github.com/weir-gateway/weir/internal/discovery/all"
	"github.com/weir-gateway/weir/internal/filter"
	filters "github.com/weir-gateway/weir/internal/filter/all"
	functions "github.com/weir-gateway/weir/internal/function/all"
	"github.com/weir-gateway/weir/internal/traffic/lambdaapi"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
	"github.com/weir-gateway/weir/internal/wire/listen"
)

// Parts returns all kinds that this program is built with.
func Parts() compile.Parts {
	return compile.Parts{
		Filters: filters.Definitions(), Providers: discoveries.Definitions(), Functions: functions.Definitions(), Auths: auths.Definitions(), Clouds: clouds.Kinds(),
	}
}

// Options configure a run from outside.
type Options struct {
	Input   source.Input
	Log     *slog.Logger
	Level   *slog.LevelVar
	Version string
	// Stdout and Stderr are where access logs may go; nil: nowhere. LogFormat is the format of Log. An access log on
	// Stderr has the same format unless the config says otherwise.
	Stdout, Stderr io.Writer
	LogFormat      string
	// Parts replaces the built-in kinds in tests.
	Parts compile.Parts
	// Drain replaces the time that requests under way get at the end; 0: the config's.
	Drain time.Duration
	// Serving is called once, before the first socket serves; it may be nil. From then on, ending the run may affect
	// clients.
	Serving func()
	// Started is called once everything serves, Stopping when the end begins; they may be nil.
	Started, Stopping func(*App)
	// Changed is called with the result of each change of the input, which is then not logged; it may be nil. Visited
	// is called with each request that has ended (see snapshot.Options).
	Changed func(*App, follow.Report, error)
	Visited func(*http.Request, *exchange.Exchange, exchange.Outcome)
	// Inherited are sockets that this process was started with; nil for none.
	Inherited *listen.Inherited
	// Upgrade makes the run start Program with Arguments for each value it receives, and end once the new process
	// serves in its place; it may be nil.
	Upgrade   <-chan struct{}
	Program   string
	Arguments []string
	// Reload makes the run read its input again for each value it receives; it may be nil.
	Reload <-chan struct{}
	// Watch makes the run read its input again whenever the files of the input change, or the files that they name.
	Watch bool
	// History keeps the configs that served; nil: in memory.
	History *history.History
	// Shelf keeps what was heard from sources outside; nil: nothing is kept. The App closes it.
	Shelf *shelf.Shelf
	// StateLock holds the folder of History and Shelf; a process that takes over holds it too. nil: there is none.
	StateLock *statefile.Lock
	// Queue keeps the jobs of routes that send requests later; nil: there can be none. The App closes it.
	Queue *queue.Queue
	// Registry is the process's own registry, which a config may open; nil: one in memory. The App closes it.
	Registry *registry.Registry
	// MaxAge is the maximum age of the last good config, since it last served, and of kept endpoints, since they were
	// confirmed; 0: a day.
	MaxAge time.Duration
}

// RefusedError reports a config that cannot serve.
type RefusedError struct {
	Problems []doc.Problem
	Sources  []config.Source
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the configuration was not applied; problems: %d", len(e.Problems))
}

// App is a running gateway.
type App struct {
	// Warnings and Sources belong to the config that the App was started with.
	Warnings []doc.Problem
	Sources  []config.Source

	options    Options
	metrics    *telemetry.Metrics
	lines      accesslog.Counts
	spans      tracing.Counts
	gateway    *snapshot.Gateway
	sockets    *sockets.Hub
	reconciler *reconcile.Reconciler
	follower   *follow.Follower
	memory     memory
	garbage    garbage
	room       int // for client connections, if less than the limit was logged
	admin      *adminServer
	adminAt    atomic.Pointer[netip.AddrPort] // address of the admin API; nil: on no port
	leaving    atomic.Bool                    // set when stopping begins
	serving    sync.Once                      // calls Options.Serving
	watcher    *source.Watcher                // nil where nothing is watched
}

// Run serves until ctx ends, then lets requests under way finish and returns nil. A *RefusedError is about the config;
// any other error about the machine.
func Run(ctx context.Context, o Options) error {
	a, err := Start(o)
	if err != nil {
		return err
	}
	if o.Started != nil {
		o.Started(a)
	}
	a.served()
	next := a.follow(ctx)
	if o.Stopping != nil {
		o.Stopping(a)
	}
	if next == nil {
		a.Stop()
	} else {
		a.handOver(next)
	}
	return nil
}

// touch is how often the state on disk is updated to say that the config still serves.
const touch = time.Hour

// follow handles reloads and upgrades until ctx ends and returns nil, or until another process serves in place of this
// one and returns that process.
func (a *App) follow(ctx context.Context) *listen.Successor {
	var changed <-chan struct{}
	if a.watcher != nil {
		changed = a.watcher.Changed()
	}
	serving, looking := time.NewTicker(touch), time.NewTicker(lookEvery)
	defer serving.Stop()
	defer looking.Stop()
	quiet := newQuiet()
	var u upgrade
	defer u.end(a)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.options.Reload:
			if current := a.gateway.Current(); current != nil {
				current.AccessLog.Reopen() // it may have been rotated
			}
			a.reload()
		case <-changed:
			a.read()
		case <-serving.C:
			a.follower.Touch()
		case <-looking.C:
			quiet.look()
		case <-a.options.Upgrade:
			u.begin(a)
		case err := <-u.done:
			if next := u.finish(a, err); next != nil {
				return next
			}
		}
	}
}

// read reads the input again and reports the result.
func (a *App) read() {
	report, err := a.follower.Read() // it has logged the result
	if a.options.Changed != nil {
		a.options.Changed(a, report, err)
	}
}

// Start returns a gateway that serves the input.
func Start(o Options) (*App, error) {
	a := New(o)
	if o.Watch && o.Input.Lasting() {
		a.watcher = source.Watch(source.WatchOptions{Input: o.Input, Log: o.Log})
	}
	report, err := a.follower.Start()
	if err == nil {
		err = a.serveAdmin(a.reconciler.Config().Admin)
	}
	if err != nil {
		a.end(a.Drain())
		if errors.Is(err, reconcile.ErrRefused) {
			return nil, &RefusedError{report.Problems, report.Sources}
		}
		return nil, err
	}
	a.Warnings, a.Sources = report.Problems, report.Sources
	return a, nil
}

// New returns a gateway that serves nothing until a config is applied (see Reconciler).
func New(o Options) *App {
	if o.Registry == nil {
		o.Registry, _ = registry.New(registry.Options{Log: o.Log}) // without a folder it cannot fail
	}
	a := &App{options: o, metrics: telemetry.New(o.Version)}
	a.gateway = snapshot.NewGateway(snapshot.Options{
		Log: o.Log, Exhausted: a.memory.exhausted, Connection: listen.ConnectionFrom, Terms: listen.TermsFrom,
		Unmatched: a.metrics.Unmatched(), Visited: o.Visited,
	})
	a.sockets = sockets.New(a.gateway.Way)
	a.reconciler = reconcile.New(reconcile.Options{
		Compiler: compile.New(o.Parts, compile.Options{
			Log: o.Log, Secret: secret.Resolve, Metrics: a.metrics, Shelf: o.Shelf, Queue: o.Queue, Registry: o.Registry, Sockets: a.sockets, KeptAge: o.MaxAge, Own: a.listening, Zone: os.Getenv("WEIR_ZONE"), Node: os.Getenv("WEIR_NODE"),
			AccessLog: compile.AccessLog{Stdout: o.Stdout, Stderr: o.Stderr, Format: o.LogFormat, Level: o.Level, Counts: &a.lines},
			Traces:    compile.Traces{Version: o.Version, Getenv: os.Getenv, Counts: &a.spans},
		}),
		Gateway: a.gateway, Open: a.open, Serve: a.serve, Applied: a.applied, Ending: o.Queue.Rest, Log: o.Log, Drain: o.Drain, IdleGrace: idleGrace,
	})
	if o.History == nil {
		o.History = history.New(history.DefaultKeep)
	}
	followed := o.Log
	if o.Changed != nil {
		followed = slog.New(slog.DiscardHandler)
	}
	a.follower = follow.New(follow.Options{
		Input: o.Input, Vocabulary: o.Parts.Vocabulary(), Reconciler: a.reconciler, History: o.History, MaxAge: o.MaxAge,
		Read: a.watch, Log: followed,
	})
	a.count()
	return a
}

// watch watches the files that were read.
func (a *App) watch(sources []config.Source, named source.Content) {
	if a.watcher != nil {
		a.watcher.Follow(sources, named)
	}
}

// applied updates, for a new config, everything that no snapshot holds.
func (a *App) applied(cfg *config.Config) {
	a.options.Queue.Serve(filter.RouteLane, a.gateway.Lanes())
	a.options.Queue.Serve(lambdaapi.LaneKind, a.gateway.Events())
	a.sockets.Follow()
	a.memory.follow(cfg.Limits.MemoryBytes)
	a.garbage.begin()
	limit := cfg.Limits.Connections
	if room := listen.Room(limit); room < limit && room != a.room {
		a.room = room
		a.options.Log.Info("the limit of open files leaves room for fewer client connections than limits.connections; raise ulimit -n, or lower the limit",
			"connections", room, "limit", limit)
	}
	if a.admin != nil && !a.admin.is(cfg.Admin) {
		a.options.Log.Warn("the address and the token of the admin API are read at the start; restart to change them")
	}
}

// Reconciler applies further configs.
func (a *App) Reconciler() *reconcile.Reconciler { return a.reconciler }

// Follower decides which config serves.
func (a *App) Follower() *follow.Follower { return a.follower }

// Addresses returns the address on which each socket listens, by name.
func (a *App) Addresses() map[string]string { return a.reconciler.Addresses() }

// Functions returns the functions that serve, nil if no config serves.
func (a *App) Functions() []snapshot.FunctionNote {
	if current := a.gateway.Current(); current != nil {
		return current.Functions
	}
	return nil
}

// InFlight returns the number of requests under way.
func (a *App) InFlight() int64 { return a.gateway.InFlight() }

// AdminAddress returns the address of the admin API, "" if it is off.
func (a *App) AdminAddress() string {
	if a.admin == nil {
		return ""
	}
	return a.admin.address
}

func (a *App) stopWatching() {
	if a.watcher != nil {
		a.watcher.Close()
		a.watcher = nil
	}
}
