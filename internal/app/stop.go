package app

import (
	"cmp"
	"context"
	"time"

	"github.com/weir-gateway/weir/internal/config"
)

// shutdown returns how the gateway ends, by the config that serves and by Options.
func (a *App) shutdown() config.Shutdown {
	s := config.DefaultShutdown()
	if cfg := a.reconciler.Config(); cfg != nil {
		s.Delay, s.Drain = cfg.Shutdown.Delay, cmp.Or(cfg.Shutdown.Drain, s.Drain)
	}
	s.Drain = cmp.Or(a.options.Drain, s.Drain)
	return s
}

// Drain returns how long requests under way may take when the gateway stops. Before that, it accepts new ones for
// Delay.
func (a *App) Drain() time.Duration { return a.shutdown().Drain }

// Delay returns how long requests are still accepted once readiness has failed.
func (a *App) Delay() time.Duration { return a.shutdown().Delay }

// Stop ends everything. First only readiness fails and responses say that their connections end, so that load balancers
// and clients go elsewhere. Then the sockets end, then what is behind them. The admin API ends last, so that operators
// can watch the end.
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

// lastWrite is how long the end waits for a disk that hangs.
const lastWrite = 2 * time.Second

// unshelve writes what the shelf still has to write, while its content is known.
func (a *App) unshelve() {
	ctx, cancel := context.WithTimeout(context.Background(), lastWrite)
	defer cancel()
	a.options.Shelf.Close(ctx)
}
