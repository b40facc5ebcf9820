package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"time"

	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/control/admin"
	"github.com/weir-gateway/weir/internal/wire/listen"
)

// adminServer is the admin API's own plain server: it must answer when the gateway's limits are reached, and until the
// gateway has stopped. Later configs do not change it.
type adminServer struct {
	http     *http.Server
	config   config.Admin
	listener net.Listener
	address  string
	done     chan struct{}
}

// adminKey names the admin API's socket when it is handed to another process.
const adminKey = "admin"

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
	l := a.options.Inherited.Take(listen.Want{Key: adminKey, Address: c.Address, Listeners: []string{adminKey}})
	if l == nil {
		var err error
		if l, err = listen.Open(context.Background(), c.Address); err != nil {
			return fmt.Errorf("admin API: %w (--admin ADDRESS), or do without it (--admin off)", err)
		}
	}
	expand := func(c *config.Config) []byte { return config.Expand(c, Parts().Vocabulary()) }
	s := &adminServer{config: c, listener: l, address: l.Addr().String(), done: make(chan struct{})}
	if at, err := netip.ParseAddrPort(s.address); err == nil { // otherwise it is a Unix socket
		a.adminAt.Store(&at)
	}
	s.http = &http.Server{
		Handler: admin.New(admin.Options{
			Gateway: a.gateway, Reconciler: a.reconciler, Follower: a.follower, Queue: a.options.Queue, Registry: a.registryStatus, Token: token, Expand: expand,
			Level: a.options.Level, Version: a.options.Version, Metrics: a.metrics.Handler(), Leaving: a.leaving.Load,
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

// is reports whether the server runs with the address and token of c.
func (s *adminServer) is(c config.Admin) bool {
	sameToken := (c.Token == nil) == (s.config.Token == nil) &&
		(c.Token == nil || reflect.DeepEqual(c.Token.Parts, s.config.Token.Parts))
	return sameToken && c.Address == s.config.Address
}

// leave is stop for a socket that another process has too.
func (s *adminServer) leave() {
	if file, ok := s.listener.(*net.UnixListener); ok {
		file.SetUnlinkOnClose(false)
	}
	s.stop()
}

func (s *adminServer) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close() // cuts off what is left
	}
	<-s.done
}
