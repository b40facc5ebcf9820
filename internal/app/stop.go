package app

import (
	"cmp"
	"context"
	"time"

	"github.com/weir-gateway/weir/internal/config"
)

// shutdown is how the gateway ends: by the config that serves, and Options.
func (a *App) shutdown() config.Shutdown {
	s := config.DefaultShutdown()
	if cfg := a.reconciler.Config(); cfg != nil {
		s.Delay, s.Drain = cfg.Shutdown.Delay, cmp.Or(cfg.Shutdown.Drain, s.Drain)
	}
	s.Drain = cmp.Or(a.options.Drain, s.Drain)
	return s
}

// Drain is how long requests under way may take when the gateway stops, and Delay
// how long it takes further ones before that.
func (a *App) Drain() time.Duration { return a.shutdown().Drain }

// Delay is how long requests are still taken once readiness has failed.
func (a *App) Delay() time.Duration { return a.shutdown().Delay }

// Stop ends everything. First nothing but readiness and what responses say of
// their connections, so that load balancers and clients go elsewhere; then the
// sockets, what is behind them, and the admin API last, so that operators can
// watch the end.
func (a *App) Stop() {
	a.stopWatching()
	a.follower.Touch()
	shutdown := a.shutdown()
	a.leaving.Store(true)
	a.notify("STOPPING=1")
	a.reconciler.Leave()
	<-time.After(shutdown.Delay) // a second interrupt ends the process
	a.end(shutdown.Drain)
}

// end stops everything within drain.
func (a *App) end(drain time.Duration) {
	a.stopWatching()
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	a.unshelve()
	a.garbage.end()
	a.reconciler.Close(ctx)
	a.options.Queue.Close()
	a.options.Registry.Close()
	if a.admin != nil {
		a.admin.stop()
	}
}

// lastWrite bounds how long a disk that hangs is waited for at the end.
const lastWrite = 2 * time.Second

// unshelve writes what is still to be kept, while it is known.
func (a *App) unshelve() {
	ctx, cancel := context.WithTimeout(context.Background(), lastWrite)
	defer cancel()
	a.options.Shelf.Close(ctx)
}
