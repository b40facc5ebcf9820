// Package app makes every part of a running gateway by hand, in the order in
// which they start, and stops them in the reverse order.
package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/control/admin"
	"github.com/weir-gateway/weir/internal/control/compile"
	"github.com/weir-gateway/weir/internal/control/reconcile"
	"github.com/weir-gateway/weir/internal/control/source"
	discoveries "github.com/weir-gateway/weir/internal/discovery/all"
	filters "github.com/weir-gateway/weir/internal/filter/all"
	functions "github.com/weir-gateway/weir/internal/function/all"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
	"github.com/weir-gateway/weir/internal/wire/listen"
)

// drain bounds how long requests under way may take at the end.
const drain = 30 * time.Second

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
	// Started is called once everything serves; it may be nil.
	Started func(*App)
}

// RefusedError is a config that cannot serve.
type RefusedError struct {
	Problems []doc.Problem
	Sources  []config.Source
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the configuration has %d problems and was not started", len(e.Problems))
}

// App is a running gateway.
type App struct {
	options    Options
	gateway    *snapshot.Gateway
	reconciler *reconcile.Reconciler
	admin      *adminServer
	Warnings   []doc.Problem
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
	<-ctx.Done()
	a.Stop()
	return nil
}

// Start makes a gateway that serves the input.
func Start(o Options) (*App, error) {
	loaded, err := o.Input.Load(o.Parts.Vocabulary())
	if err != nil {
		return nil, err
	}
	if loaded.Config == nil {
		return nil, &RefusedError{loaded.Problems, loaded.Sources}
	}
	a := New(o, loaded.Config.Limits)
	report, err := a.reconciler.Apply(loaded.Config, loaded.Digest)
	if err == nil {
		err = a.serveAdmin(loaded.Config.Admin)
	}
	if err != nil {
		a.Stop()
		if len(report.Problems) > 0 && !report.Applied {
			return nil, &RefusedError{report.Problems, loaded.Sources}
		}
		return nil, err
	}
	a.Warnings = append(loaded.Problems, report.Problems...)
	return a, nil
}

// New makes a gateway that serves nothing until a config is applied (see
// Reconciler). limits bound what all listeners together take.
func New(o Options, limits config.Limits) *App {
	memory := listen.NewMemory(limits.MemoryBytes)
	a := &App{options: o}
	a.gateway = snapshot.NewGateway(snapshot.Options{
		Log: o.Log, InFlight: limits.InFlight, Exhausted: memory.Exhausted,
		Peer: listen.PeerFrom, Done: accessLog(o.Log),
	})
	a.reconciler = reconcile.New(reconcile.Options{
		Compiler: compile.New(o.Parts, compile.Options{Log: o.Log, Secret: secret.Resolve}),
		Gateway:  a.gateway, Bind: a.bind, Log: o.Log, Drain: o.drain(),
	})
	return a
}

func (o Options) drain() time.Duration {
	if o.Drain > 0 {
		return o.Drain
	}
	return drain
}

// Reconciler applies further configs.
func (a *App) Reconciler() *reconcile.Reconciler { return a.reconciler }

// Addresses gives where each socket listens, by name.
func (a *App) Addresses() map[string]string { return a.reconciler.Addresses() }

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
	ctx, cancel := context.WithTimeout(context.Background(), a.options.drain())
	defer cancel()
	a.reconciler.Close(ctx)
	if a.admin != nil {
		a.admin.stop()
	}
}

// bind opens one socket and serves the gateway on it.
func (a *App) bind(s config.Socket, handler http.Handler, tlsConfig *tls.Config, limits config.Limits) (reconcile.Server, error) {
	l, err := listen.Open(context.Background(), s.Address)
	if err != nil {
		return nil, err
	}
	server := listen.New(listen.Options{
		Listener: l, Handler: handler, Limits: limits, H2C: true, TLS: tlsConfig, Log: a.options.Log, Refuse: a.gateway.Refuse,
	})
	b := &boundSocket{Server: server, address: l.Addr().String(), done: make(chan struct{})}
	go func() {
		defer close(b.done)
		if err := server.Serve(); err != nil && !errors.Is(err, http.ErrServerClosed) {
			a.options.Log.Error("a socket stopped serving", "socket", s.Name, "error", err)
		}
	}()
	return b, nil
}

// boundSocket is a server with the goroutine that runs it.
type boundSocket struct {
	*listen.Server
	address string
	done    chan struct{}
}

func (b *boundSocket) Address() string { return b.address }

func (b *boundSocket) Shutdown(ctx context.Context) error {
	err := b.Server.Shutdown(ctx)
	<-b.done
	return err
}

// adminServer is the admin API's own plain server: it must answer when the
// gateway's limits are reached.
type adminServer struct {
	http    *http.Server
	address string
	done    chan struct{}
}

func (a *App) serveAdmin(c config.Admin) error {
	if c.Address == "" || c.Address == "off" {
		return nil
	}
	var token secret.Value
	if c.Token != nil {
		var err error
		if token, err = secret.Resolve(c.Token.Template); err != nil {
			return fmt.Errorf("admin.token: %w", err)
		}
	}
	l, err := listen.Open(context.Background(), c.Address)
	if err != nil {
		return fmt.Errorf("admin API: %w", err)
	}
	s := &adminServer{address: l.Addr().String(), done: make(chan struct{})}
	s.http = &http.Server{
		Handler: admin.New(admin.Options{
			Gateway: a.gateway, Reconciler: a.reconciler, Token: token, Expand: config.Expand,
			Level: a.options.Level, Version: a.options.Version,
		}),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(a.options.Log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			a.options.Log.Error("the admin API stopped", "error", err)
		}
	}()
	a.admin = s
	return nil
}

func (s *adminServer) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close() // whatever is left is cut
	}
	<-s.done
}

// accessLog writes one line for each request that was answered.
func accessLog(log *slog.Logger) func(*http.Request, *exchange.Exchange, exchange.Outcome) {
	return func(r *http.Request, x *exchange.Exchange, o exchange.Outcome) {
		ctx := r.Context()
		level := slog.LevelInfo
		if o.Status >= http.StatusInternalServerError {
			level = slog.LevelWarn
		}
		if !log.Enabled(ctx, level) {
			return
		}
		attrs := []slog.Attr{
			slog.String("method", r.Method), slog.String("host", x.Host), slog.String("path", x.Path),
			slog.Int("status", o.Status), slog.Duration("took", o.Took), slog.Int64("bytes", o.Written),
			slog.String("client", address(x.Client.IP)), slog.String("request_id", x.ID),
		}
		if x.Route != "" {
			attrs = append(attrs, slog.String("route", x.Route), slog.String("backend", x.Backend))
		}
		if n := len(x.Attempts); n > 0 {
			attrs = append(attrs, slog.String("endpoint", x.Attempts[n-1].Endpoint), slog.Int("attempts", n))
		}
		if x.Fault != nil {
			attrs = append(attrs, slog.String("problem", x.Fault.Code), slog.String("detail", x.Fault.Detail), slog.String("cause", x.Fault.Operator()))
		} else if o.Err != nil {
			attrs = append(attrs, slog.String("cause", o.Err.Error()))
		}
		log.LogAttrs(ctx, level, "request", attrs...)
	}
}

func address(ip netip.Addr) string {
	if !ip.IsValid() {
		return "local"
	}
	return ip.String()
}
