// Package reconcile is the only writer of the snapshot. It applies one valid config at a time, in the order
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

// Options configure a Reconciler.
type Options struct {
	Compiler *compile.Compiler
	Gateway  *snapshot.Gateway
	// Open binds an address, or returns a listener that is already bound to it. The listener has a SetDeadline, like
	// those of package net.
	Open func(listen.Want) (net.Listener, error)
	// Serve serves a site on l, which it closes, until Shutdown.
	Serve func(l net.Listener, s Site) Server
	// Applied is called with each config that serves from now on; it may be nil.
	Applied func(*config.Config)
	// Ending is called when everything ends, concurrently with the requests under way, and before the parts behind them
	// end. It returns by the end of ctx. It may be nil.
	Ending func(ctx context.Context)
	Log    *slog.Logger
	// Drain replaces the drain time of config.Shutdown for replaced parts that may still be used; 0: the config's.
	Drain time.Duration
	// IdleGrace is how long idle connections are kept when the gateway ends, because a request may be on its way on
	// them.
	IdleGrace time.Duration
}

// ErrRefused is the error of Apply if the config cannot serve, as its problems say, and the machine is not the cause.
var ErrRefused = errors.New("the configuration was refused")

// Report is the result of applying a config.
type Report struct {
	Digest   string
	Time     time.Time
	Applied  bool
	Changes  []config.Change // from the previous config, if this one was or could be applied
	Problems []doc.Problem   // errors if it was refused, else warnings
}

// Reconciler applies configs one at a time. Its methods may be called concurrently.
type Reconciler struct {
	options Options

	applying sync.Mutex // one Apply or Close at a time
	closed   bool
	draining sync.WaitGroup
	leaving  sync.WaitGroup     // addresses that are being released
	hurry    context.CancelFunc // cancels life
	life     context.Context    //nolint:containedctx // of what drains, from New to the end of Close
	unkeep   context.CancelFunc // cancels keeping
	keeping  context.Context    //nolint:containedctx // of idle connections of servers that were replaced, from New to Close

	mu     sync.Mutex          // for the fields that can be read meanwhile
	bound  map[string]*binding // by addressKey; written under both locks
	config *config.Config
	last   Report // of the latest attempt
	serves Report // of the config that serves
}

// New returns a Reconciler that serves nothing yet.
func New(o Options) *Reconciler {
	life, hurry := context.WithCancel(context.Background())
	keeping, unkeep := context.WithCancel(life)
	return &Reconciler{options: o, bound: map[string]*binding{}, life: life, hurry: hurry, keeping: keeping, unkeep: unkeep}
}

// Apply makes cfg, which was validated, the config that serves. The error is nil if it was applied; otherwise the
// report's problems say why it was not.
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

// Try does everything with cfg that Apply does before anything changes, except for binding new sockets, and then
// discards the result. The error is ErrRefused if cfg cannot serve.
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

// Refuse records a config that had problems before it could be applied, so that Last reports it. The config that serves
// is not affected.
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

// prepare compiles cfg into a snapshot that does not serve yet.
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

// drainTime returns how long the parts that cfg replaces may still be used.
func (r *Reconciler) drainTime(cfg *config.Config) time.Duration {
	if cfg == nil {
		cfg = &config.Config{}
	}
	return cmp.Or(r.options.Drain, cfg.Shutdown.Drain, config.DefaultShutdown().Drain)
}

// lastIdle is how long before the end of a drain time idle connections are closed.
const lastIdle = time.Second

// replaced holds what a new snapshot does not use.
type replaced struct {
	unused  <-chan struct{}       // closed when no request holds the previous snapshot; nil if there was none
	servers []Server              // of sockets that have other servers now
	sockets []*binding            // sockets that are released, with their servers
	served  func()                // to be called when the servers of sockets have ended
	release func(context.Context) // ends the parts of the previous snapshot
}

// drain ends in the background what was replaced: servers once their requests are answered, and the parts of the
// previous snapshot once no request holds it. There is no hurry, so connections are kept until each has been told on a
// response that it ends.
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

// shutdown ends servers within ctx. Idle connections are kept for idleTime, but not longer than keep.
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

// Addresses returns the address on which each socket really listens, by name.
func (r *Reconciler) Addresses() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	addresses := make(map[string]string, len(r.bound))
	for _, b := range r.bound {
		addresses[b.name] = b.socket.listener.Addr().String()
	}
	return addresses
}

// Secure reports which sockets speak TLS, by name.
func (r *Reconciler) Secure() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	secure := make(map[string]bool, len(r.bound))
	for _, b := range r.bound {
		secure[b.name] = b.mode.secure
	}
	return secure
}

// Config returns the config that serves, nil before the first; it must not be changed.
func (r *Reconciler) Config() *config.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.config
}

// Files returns the files that the latest config named, each with the digest of its content before it was read, or all
// zeros if it could not be read; see secret.FileDigest.
func (r *Reconciler) Files() map[string][sha256.Size]byte { return r.options.Compiler.Files() }

// Last returns the report of the latest Apply or Refuse.
func (r *Reconciler) Last() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// Serves returns the report of the config that serves.
func (r *Reconciler) Serves() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.serves
}

// Leave makes every response say that its connection ends, so that clients go elsewhere. Everything is still served.
func (r *Reconciler) Leave() {
	r.applying.Lock()
	defer r.applying.Unlock()
	r.closed = true // another config would bring servers that do not say so
	for _, b := range r.bound {
		b.server.Leave()
	}
}

// Close stops serving: sockets first, then everything behind them. Requests under way may finish until ctx ends. After
// Close nothing can be applied.
func (r *Reconciler) Close(ctx context.Context) {
	r.end(ctx, r.options.IdleGrace, r.giveUp)
}

// HandOver is Close for sockets that another process has too: connections that wait on them are left to that process.
// Because nothing waits for the end of this process, idle connections are kept for as long as ctx allows.
func (r *Reconciler) HandOver(ctx context.Context) {
	end, _ := ctx.Deadline()
	r.end(ctx, time.Until(end)-lastIdle, r.leaveTo)
}

// end stops serving. free releases the sockets of bindings and returns their servers.
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
	select { // a WebSocket's function may be called about its end after its connection has gone
	case <-r.options.Gateway.Quiet():
	case <-ctx.Done():
	}
	under.Wait()
	r.options.Compiler.Close(ctx)
	r.draining.Wait()
	r.hurry()
}

// Pack adds every socket to the parcel for the process that takes over.
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

// unbind removes and returns every binding.
func (r *Reconciler) unbind() []*binding {
	r.mu.Lock()
	defer r.mu.Unlock()
	bindings := slices.Collect(maps.Values(r.bound))
	clear(r.bound)
	return bindings
}
