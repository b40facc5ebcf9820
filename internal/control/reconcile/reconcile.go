// Package reconcile is the only writer of the snapshot: it takes one valid
// config after the other from listening to serving, in the order
//
//	compile -> run the tests -> bind what is new -> swap -> serve -> drain what is gone -> report
//
// A failure anywhere before the swap leaves everything as it was.
//
//   - reconcile.go: the order, and the end.
//   - bind.go: which server has which socket.
//   - socket.go: sockets that are handed from one server to the next.
package reconcile

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/control/compile"
	"github.com/weir-gateway/weir/internal/control/expect"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
	"github.com/weir-gateway/weir/internal/wire/listen"
)

// Options are what a Reconciler is made of.
type Options struct {
	Compiler *compile.Compiler
	Gateway  *snapshot.Gateway
	// Open binds an address, or finds it bound. The listener has a SetDeadline, as
	// those of package net.
	Open func(listen.Want) (net.Listener, error)
	// Serve serves a site on l, which it closes, until Shutdown.
	Serve func(l net.Listener, s Site) Server
	// Applied is told each config that serves from now on; it may be nil.
	Applied func(*config.Config)
	// Ending is called when everything ends, beside the requests under way and before what is
	// behind them; it returns by the end of ctx. It may be nil.
	Ending func(ctx context.Context)
	Log    *slog.Logger
	// Drain replaces the time of config.Shutdown for what was replaced and may still
	// be used; 0: that one.
	Drain time.Duration
	// IdleGrace is how long idle connections are kept when the gateway ends, for a
	// request may be on its way on them.
	IdleGrace time.Duration
}

// ErrRefused is the error of Apply where it is the config that cannot serve, as
// its problems say, and not the machine.
var ErrRefused = errors.New("the configuration was refused")

// Report tells what became of a config.
type Report struct {
	Digest   string
	Time     time.Time
	Applied  bool
	Changes  []config.Change // from the config before, where it was applied or could be
	Problems []doc.Problem   // errors where it was refused, else warnings
}

// Reconciler applies configs one at a time. Its methods may be called concurrently.
type Reconciler struct {
	options Options

	applying sync.Mutex // one Apply or Close at a time
	closed   bool
	draining sync.WaitGroup
	leaving  sync.WaitGroup     // addresses that are being given up
	hurry    context.CancelFunc // ends what drains
	life     context.Context    //nolint:containedctx // of what drains, from New to the end of Close
	unkeep   context.CancelFunc // ends keeping
	keeping  context.Context    //nolint:containedctx // of idle connections of servers that were replaced, from New to Close

	mu     sync.Mutex          // for what can be asked meanwhile
	bound  map[string]*binding // by addressKey; written under both locks
	config *config.Config
	last   Report // of the latest attempt
	serves Report // of the config that serves
}

// New makes a Reconciler that serves nothing yet.
func New(o Options) *Reconciler {
	life, hurry := context.WithCancel(context.Background())
	keeping, unkeep := context.WithCancel(life)
	return &Reconciler{options: o, bound: map[string]*binding{}, life: life, hurry: hurry, keeping: keeping, unkeep: unkeep}
}

// Apply makes cfg, which was validated, the one that serves. The error is nil
// where it was applied; otherwise the report's problems say why it was not.
func (r *Reconciler) Apply(cfg *config.Config, digest string) (Report, error) {
	r.applying.Lock()
	defer r.applying.Unlock()
	report := Report{Digest: digest, Time: time.Now()}
	var err error
	report.Problems, err = r.apply(cfg, digest)
	report.Applied = err == nil
	if err == nil {
		report.Changes = config.Changes(r.Config(), cfg)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = report
	if err == nil {
		r.config, r.serves = cfg, report
	}
	return report, err
}

// Try does with cfg everything that Apply does before anything changes, but for
// binding new sockets, and ends what was made for it. The error is ErrRefused where
// it cannot serve.
func (r *Reconciler) Try(cfg *config.Config, digest string) (Report, error) {
	r.applying.Lock()
	defer r.applying.Unlock()
	report := Report{Digest: digest, Time: time.Now()}
	pending, problems, err := r.prepare(cfg, digest)
	report.Problems = problems
	if err != nil {
		return report, err
	}
	r.abort(pending, cfg)
	report.Changes = config.Changes(r.Config(), cfg)
	return report, nil
}

// Refuse notes a config that had problems before it could be applied, so that
// Last tells of it. What serves goes on.
func (r *Reconciler) Refuse(digest string, problems []doc.Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = Report{Digest: digest, Time: time.Now(), Problems: problems}
}

func (r *Reconciler) apply(cfg *config.Config, digest string) ([]doc.Problem, error) {
	pending, problems, err := r.prepare(cfg, digest)
	if err != nil {
		return problems, err
	}
	opened, err := r.open(cfg)
	if err != nil {
		r.abort(pending, cfg)
		return append(problems, doc.Problem{What: err.Error()}), err
	}
	pending.Snapshot.Sockets = socketNames(cfg)
	served := r.keep(cfg)
	before := r.options.Gateway.Swap(pending.Snapshot)
	was := replaced{served: served}
	if before != nil {
		was.unused = before.Unused()
	}
	was.servers, was.sockets = r.serve(cfg, pending.Snapshot, opened)
	was.release = pending.Commit()
	r.drain(r.drainTime(cfg), was)
	if r.options.Applied != nil {
		r.options.Applied(cfg)
	}
	return problems, nil
}

// prepare makes a snapshot of cfg that does not serve yet.
func (r *Reconciler) prepare(cfg *config.Config, digest string) (*compile.Pending, []doc.Problem, error) {
	if r.closed {
		return nil, nil, errors.New("the gateway is shutting down")
	}
	pending, problems := r.options.Compiler.Compile(cfg, digest)
	if pending == nil {
		return nil, problems, ErrRefused
	}
	if failed := expect.Problems(expect.Run(pending.Snapshot, cfg.Tests)); len(failed) > 0 {
		r.abort(pending, cfg)
		return nil, append(problems, failed...), ErrRefused
	}
	return pending, problems, nil
}

func (r *Reconciler) abort(pending *compile.Pending, cfg *config.Config) {
	ctx, cancel := context.WithTimeout(r.life, r.drainTime(cfg))
	defer cancel()
	pending.Abort(ctx)
}

// drainTime is how long what cfg replaces may still be used.
func (r *Reconciler) drainTime(cfg *config.Config) time.Duration {
	if cfg == nil {
		cfg = &config.Config{}
	}
	return cmp.Or(r.options.Drain, cfg.Shutdown.Drain, config.DefaultShutdown().Drain)
}

// lastIdle is what is left of a drain time when idle connections are closed.
const lastIdle = time.Second

// replaced is what a new snapshot does not use.
type replaced struct {
	unused  <-chan struct{}       // closed when nothing of the snapshot before is held; nil where there was none
	servers []Server              // of sockets that have others now
	sockets []*binding            // that are given up, with their servers
	served  func()                // to be called when those have ended
	release func(context.Context) // ends the parts of the snapshot before
}

// drain ends in the background what was replaced: servers once their requests are
// answered, and the parts of the snapshot before once no request holds it. There is
// no hurry, so that connections are kept until each was told on a response that it
// ends.
func (r *Reconciler) drain(d time.Duration, was replaced) {
	r.leaving.Add(1)
	r.draining.Go(func() {
		ctx, cancel := context.WithTimeout(r.life, d)
		defer cancel()
		var servers sync.WaitGroup
		servers.Go(func() { r.shutdown(ctx, r.keeping, d-lastIdle, was.servers) })
		servers.Go(func() {
			defer was.served()
			given := r.giveUp(was.sockets)
			r.leaving.Done()
			r.shutdown(ctx, r.keeping, d-lastIdle, given)
		})
		if was.unused != nil {
			select {
			case <-was.unused:
			case <-ctx.Done():
			}
		}
		was.release(ctx)
		servers.Wait()
	})
}

// shutdown ends servers within ctx. Idle connections are kept for a time, and not
// longer than keep.
func (r *Reconciler) shutdown(ctx, keep context.Context, idleTime time.Duration, servers []Server) {
	idle, cancel := context.WithTimeout(keep, idleTime)
	defer cancel()
	var wait sync.WaitGroup
	for _, s := range servers {
		wait.Go(func() {
			if err := s.Shutdown(ctx, idle); err != nil {
				r.options.Log.Warn("connections were cut at the end of the drain time", "error", err)
			}
		})
	}
	wait.Wait()
}

// Addresses gives where each socket really listens, by name.
func (r *Reconciler) Addresses() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	addresses := make(map[string]string, len(r.bound))
	for _, b := range r.bound {
		addresses[b.name] = b.socket.listener.Addr().String()
	}
	return addresses
}

// Secure tells which sockets speak TLS, by name.
func (r *Reconciler) Secure() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	secure := make(map[string]bool, len(r.bound))
	for _, b := range r.bound {
		secure[b.name] = b.mode.secure
	}
	return secure
}

// Config is the config that serves, nil before the first; it must not be changed.
func (r *Reconciler) Config() *config.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.config
}

// Files gives the files that the latest config named, each with the digest of what
// it held before it was read, all zeros where it could not be; see secret.FileDigest.
func (r *Reconciler) Files() map[string][sha256.Size]byte { return r.options.Compiler.Files() }

// Last is the report of the latest Apply or Refuse.
func (r *Reconciler) Last() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// Serves is the report of the config that serves.
func (r *Reconciler) Serves() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.serves
}

// Leave makes every response say that its connection ends, so that clients go
// elsewhere; everything is served on.
func (r *Reconciler) Leave() {
	r.applying.Lock()
	defer r.applying.Unlock()
	r.closed = true // another config would bring servers that do not know
	for _, b := range r.bound {
		b.server.Leave()
	}
}

// Close stops serving: sockets first, then everything behind them. Requests
// under way may finish until ctx ends. After it nothing can be applied.
func (r *Reconciler) Close(ctx context.Context) {
	r.end(ctx, r.options.IdleGrace, r.giveUp)
}

// HandOver is Close for sockets that another process has too: what waits on them
// is left to it. As nobody waits for the end of this one, idle connections are kept
// for as long as ctx allows.
func (r *Reconciler) HandOver(ctx context.Context) {
	end, _ := ctx.Deadline()
	r.end(ctx, time.Until(end)-lastIdle, r.leaveTo)
}

// end stops serving; free gives the sockets of bindings away, and their servers back.
func (r *Reconciler) end(ctx context.Context, idle time.Duration, free func([]*binding) []Server) {
	r.applying.Lock()
	defer r.applying.Unlock()
	defer context.AfterFunc(ctx, r.hurry)()
	r.closed = true
	r.unkeep()
	var under sync.WaitGroup
	if r.options.Ending != nil {
		under.Go(func() { r.options.Ending(ctx) })
	}
	gone := free(r.unbind())
	r.shutdown(ctx, ctx, idle, gone)
	select { // a WebSocket's function may be told of its end once its connection has gone
	case <-r.options.Gateway.Quiet():
	case <-ctx.Done():
	}
	under.Wait()
	r.options.Compiler.Close(ctx)
	r.draining.Wait()
	r.hurry()
}

// Pack puts every socket into a parcel for the process that takes over.
func (r *Reconciler) Pack(p *listen.Parcel) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, b := range r.bound {
		if err := p.Add(key, b.socket.listener); err != nil {
			return err
		}
	}
	return nil
}

// unbind forgets every socket.
func (r *Reconciler) unbind() []*binding {
	r.mu.Lock()
	defer r.mu.Unlock()
	bindings := slices.Collect(maps.Values(r.bound))
	clear(r.bound)
	return bindings
}
