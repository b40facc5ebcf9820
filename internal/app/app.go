// Package app makes every part of a running gateway by hand, in the order in
// which they start, and stops them in the reverse order.
//
//   - app.go: the order.
//   - listen.go: servers on sockets.
//   - admin.go: the server of the admin API.
//   - memory.go: the guard of the process's memory.
//   - access.go: the access log.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/control/compile"
	"github.com/weir-gateway/weir/internal/control/reconcile"
	"github.com/weir-gateway/weir/internal/control/source"
	discoveries "github.com/weir-gateway/weir/internal/discovery/all"
	filters "github.com/weir-gateway/weir/internal/filter/all"
	functions "github.com/weir-gateway/weir/internal/function/all"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
	"github.com/weir-gateway/weir/internal/wire/listen"
)

// defaultDrain bounds how long requests under way may take at the end.
const defaultDrain = 30 * time.Second

// Parts are all kinds that this program is built with.
func Parts() compile.Parts {
	return compile.Parts{Filters: filters.Definitions(), Providers: discoveries.Definitions(), Functions: functions.Definitions()}
}

// Options are what a run is told from outside.
type Options struct {
	Input   source.Input
	Log     *slog.Logger
	Level   *slog.LevelVar
	Version string
	// Parts replaces the built-in kinds in tests.
	Parts compile.Parts
	// Drain replaces the time that requests under way get at the end; 0: 30 s.
	Drain time.Duration
	// Started is called once everything serves, Stopping when the end begins;
	// they may be nil.
	Started, Stopping func(*App)
	// Reload makes the run read its input again with each value; it may be nil.
	Reload <-chan struct{}
	// Watch makes it do so whenever the files of the input change, or those that
	// they name.
	Watch bool
}

// RefusedError is a config that cannot serve.
type RefusedError struct {
	Problems []doc.Problem
	Sources  []config.Source
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the configuration was not applied; problems: %d", len(e.Problems))
}

// App is a running gateway.
type App struct {
	// Warnings and Sources are those of the config that it was started with.
	Warnings []doc.Problem
	Sources  []config.Source

	options    Options
	gateway    *snapshot.Gateway
	reconciler *reconcile.Reconciler
	memory     memory
	admin      *adminServer
	watcher    *source.Watcher // nil where nothing is watched
}

// Run serves until ctx ends, then lets requests under way finish and returns
// nil. A *RefusedError is about the config; any other error about the machine.
func Run(ctx context.Context, o Options) error {
	a, err := Start(o)
	if err != nil {
		return err
	}
	if o.Started != nil {
		o.Started(a)
	}
	a.follow(ctx)
	if o.Stopping != nil {
		o.Stopping(a)
	}
	a.Stop()
	return nil
}

// follow reloads until ctx ends.
func (a *App) follow(ctx context.Context) {
	var changed <-chan struct{}
	if a.watcher != nil {
		changed = a.watcher.Changed()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.options.Reload:
			a.reload()
		case <-changed:
			a.reload()
		}
	}
}

// Start makes a gateway that serves the input.
func Start(o Options) (*App, error) {
	a := New(o)
	if o.Watch && o.Input.Lasting() {
		a.watcher = source.Watch(source.WatchOptions{Input: o.Input, Log: o.Log})
	}
	loaded, err := a.load()
	if err == nil {
		err = a.serveAdmin(loaded.Config.Admin)
	}
	if err != nil {
		a.Stop()
		return nil, err
	}
	a.Warnings, a.Sources = loaded.Problems, loaded.Sources
	return a, nil
}

// New makes a gateway that serves nothing until a config is applied (see Reconciler).
func New(o Options) *App {
	if o.Drain <= 0 {
		o.Drain = defaultDrain
	}
	a := &App{options: o}
	a.gateway = snapshot.NewGateway(snapshot.Options{
		Log: o.Log, Exhausted: a.memory.exhausted, Peer: listen.PeerFrom, Terms: listen.TermsFrom, Done: accessLog(o.Log),
	})
	a.reconciler = reconcile.New(reconcile.Options{
		Compiler: compile.New(o.Parts, compile.Options{Log: o.Log, Secret: secret.Resolve}),
		Gateway:  a.gateway, Open: open, Serve: a.serve, Applied: a.applied, Log: o.Log, Drain: o.Drain,
	})
	return a
}

// load reads the input and makes it serve. Its problems are then warnings.
func (a *App) load() (source.Loaded, error) {
	loaded, err := a.apply()
	if a.watcher != nil {
		a.watcher.Follow(loaded.Sources, a.reconciler.Files())
	}
	return loaded, err
}

func (a *App) apply() (source.Loaded, error) {
	loaded, err := a.options.Input.Load(a.options.Parts.Vocabulary())
	if err != nil {
		a.reconciler.Refuse("", []doc.Problem{{What: err.Error()}})
		return loaded, err
	}
	if loaded.Config == nil {
		a.reconciler.Refuse(loaded.Digest, loaded.Problems)
		return loaded, &RefusedError{loaded.Problems, loaded.Sources}
	}
	report, err := a.reconciler.Apply(loaded.Config, loaded.Digest)
	loaded.Problems = slices.Concat(loaded.Problems, report.Problems)
	if errors.Is(err, reconcile.ErrRefused) {
		return loaded, &RefusedError{loaded.Problems, loaded.Sources}
	}
	return loaded, err
}

// reload reads the input again. What cannot serve leaves everything as it was.
func (a *App) reload() {
	loaded, err := a.load()
	for _, p := range loaded.Problems {
		level := slog.LevelError
		if p.Severity == doc.Warning {
			level = slog.LevelWarn
		}
		a.options.Log.Log(context.Background(), level, "configuration", "problem", p.String())
	}
	if err != nil {
		a.options.Log.Error("the configuration was not reloaded; the one before serves on", "error", err)
		return
	}
	a.options.Log.Info("the configuration was reloaded", "digest", loaded.Digest)
}

// applied follows a new config in what no snapshot holds.
func (a *App) applied(cfg *config.Config) {
	a.memory.follow(cfg.Limits.MemoryBytes)
	if a.admin != nil && !a.admin.is(cfg.Admin) {
		a.options.Log.Warn("the address and the token of the admin API are read at the start; restart to change them")
	}
}

// Reconciler applies further configs.
func (a *App) Reconciler() *reconcile.Reconciler { return a.reconciler }

// Addresses gives where each socket listens, by name.
func (a *App) Addresses() map[string]string { return a.reconciler.Addresses() }

// InFlight is the number of requests under way.
func (a *App) InFlight() int64 { return a.gateway.InFlight() }

// Drain is how long they may take when the gateway stops.
func (a *App) Drain() time.Duration { return a.options.Drain }

// AdminAddress is where the admin API listens, "" where it is off.
func (a *App) AdminAddress() string {
	if a.admin == nil {
		return ""
	}
	return a.admin.address
}

// Stop ends everything: sockets first, then what is behind them, and the admin
// API last, so that operators can watch the end.
func (a *App) Stop() {
	a.stopWatching()
	ctx, cancel := context.WithTimeout(context.Background(), a.options.Drain)
	defer cancel()
	a.reconciler.Close(ctx)
	if a.admin != nil {
		a.admin.stop()
	}
}

func (a *App) stopWatching() {
	if a.watcher != nil {
		a.watcher.Close()
		a.watcher = nil
	}
}
