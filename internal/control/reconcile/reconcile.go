// Package reconcile is the only writer of the snapshot: it takes one valid
// config after the other from listening to serving, in the order
//
//	compile -> bind what is new -> swap -> drain what is gone -> report
//
// A failure anywhere before the swap leaves everything as it was.
package reconcile

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/control/compile"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// Server is a bound socket that serves.
type Server interface {
	// Address is where it really listens, a chosen port included.
	Address() string
	// Shutdown takes no new connections, lets requests under way finish until
	// ctx ends, and then closes what is left.
	Shutdown(ctx context.Context) error
}

// Bind opens a socket and serves handler on it until Shutdown. tlsConfig is nil
// for plain sockets.
type Bind func(socket config.Socket, handler http.Handler, tlsConfig *tls.Config, limits config.Limits) (Server, error)

// Options are what a Reconciler is made of.
type Options struct {
	Compiler *compile.Compiler
	Gateway  *snapshot.Gateway
	Bind     Bind
	Log      *slog.Logger
	// Drain bounds how long what was replaced may still be used.
	Drain time.Duration
}

// Report tells what became of a config.
type Report struct {
	Digest   string
	Time     time.Time
	Applied  bool
	Problems []doc.Problem // errors where it was refused, else warnings
}

// Reconciler applies configs one at a time. Its methods may be called concurrently.
type Reconciler struct {
	options Options

	mu       sync.Mutex
	bound    map[string]binding // by socket name
	config   *config.Config
	last     Report
	draining sync.WaitGroup
}

type binding struct {
	address string // as configured
	secure  bool
	server  Server
}

// New makes a Reconciler that serves nothing yet.
func New(o Options) *Reconciler {
	return &Reconciler{options: o, bound: map[string]binding{}}
}

// Apply makes cfg, which was validated, the one that serves. The error is nil
// where it was applied; otherwise the report's problems say why it was not.
func (r *Reconciler) Apply(cfg *config.Config, digest string) (Report, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	report := Report{Digest: digest, Time: time.Now()}
	pending, problems := r.options.Compiler.Compile(cfg, digest)
	report.Problems = problems
	if pending == nil {
		r.last = report
		return report, errors.New("the configuration was refused")
	}
	opened, err := r.bind(cfg, pending.Snapshot)
	if err != nil {
		ctx, cancel := context.WithTimeout(context.Background(), r.options.Drain)
		defer cancel()
		pending.Abort(ctx)
		report.Problems = append(report.Problems, doc.Problem{What: err.Error()})
		r.last = report
		return report, err
	}
	r.options.Gateway.Swap(pending.Snapshot)
	r.config = cfg
	r.drain(r.unbind(cfg, opened), pending.Commit())
	report.Applied = true
	r.last = report
	return report, nil
}

// bind opens the sockets that cfg has and we have not. Where one fails, those
// opened before it are closed again.
func (r *Reconciler) bind(cfg *config.Config, s *snapshot.Snapshot) (map[string]binding, error) {
	opened := map[string]binding{}
	for _, socket := range cfg.Sockets {
		secure := s.TLS[socket.Name] != nil
		if have, ok := r.bound[socket.Name]; ok && have.address == socket.Address && have.secure == secure {
			continue
		}
		server, err := r.options.Bind(socket, r.options.Gateway.Handler(socket.Name), r.tls(socket.Name, secure), cfg.Limits)
		if err != nil {
			for _, b := range opened {
				_ = b.server.Shutdown(closedContext()) // it has served nobody
			}
			return nil, fmt.Errorf("listen on %s (%s): %w", socket.Address, socket.Origin, err)
		}
		opened[socket.Name] = binding{socket.Address, secure, server}
	}
	return opened, nil
}

// tls gives every handshake the certificates of the snapshot that serves then.
func (r *Reconciler) tls(socket string, secure bool) *tls.Config {
	if !secure {
		return nil
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			current := r.options.Gateway.Current()
			if current == nil || current.TLS[socket] == nil {
				return nil, errors.New("this socket serves no TLS any more")
			}
			return current.TLS[socket], nil
		},
	}
}

// unbind takes over the opened sockets and gives those that are gone.
func (r *Reconciler) unbind(cfg *config.Config, opened map[string]binding) []Server {
	wanted := map[string]bool{}
	for _, s := range cfg.Sockets {
		wanted[s.Name] = true
	}
	var gone []Server
	for name, b := range r.bound {
		if _, replaced := opened[name]; replaced || !wanted[name] {
			gone = append(gone, b.server)
			delete(r.bound, name)
		}
	}
	for name, b := range opened {
		r.bound[name] = b
		r.options.Log.Info("listening", "socket", name, "address", b.server.Address())
	}
	return gone
}

// drain ends in the background what the new snapshot does not use.
func (r *Reconciler) drain(gone []Server, release func(context.Context)) {
	r.draining.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), r.options.Drain)
		defer cancel()
		r.shutdown(ctx, gone)
		release(ctx)
	})
}

func (r *Reconciler) shutdown(ctx context.Context, servers []Server) {
	var wait sync.WaitGroup
	for _, s := range servers {
		wait.Go(func() {
			if err := s.Shutdown(ctx); err != nil {
				r.options.Log.Warn("connections were cut at the end of the drain time", "address", s.Address(), "error", err)
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
	for name, b := range r.bound {
		addresses[name] = b.server.Address()
	}
	return addresses
}

// Config is the config that serves, nil before the first; it must not be changed.
func (r *Reconciler) Config() *config.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.config
}

// Last is the report of the latest Apply.
func (r *Reconciler) Last() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// Close stops serving: sockets first, then everything behind them. Requests
// under way may finish until ctx ends.
func (r *Reconciler) Close(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Server
	for _, b := range r.bound {
		all = append(all, b.server)
	}
	clear(r.bound)
	r.shutdown(ctx, all)
	r.options.Compiler.Close(ctx)
	r.draining.Wait()
}

// closedContext ends at once.
func closedContext() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
