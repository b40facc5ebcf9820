package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/weir-gateway/weir/internal/control/reconcile"
	"github.com/weir-gateway/weir/internal/wire/listen"
)

// open returns a socket that this process was started with, or binds it.
func (a *App) open(w listen.Want) (net.Listener, error) {
	if l := a.options.Inherited.Take(w); l != nil {
		return l, nil
	}
	l, err := listen.Open(context.Background(), w.Address)
	if err != nil {
		return nil, fmt.Errorf("%w (--listen ADDRESS, or --listen NAME=ADDRESS)", err)
	}
	return l, nil
}

// listening returns the addresses on which this process listens now. It may be called at any time.
func (a *App) listening() []netip.AddrPort {
	var list []netip.AddrPort
	for _, address := range a.reconciler.Addresses() {
		if at, err := netip.ParseAddrPort(address); err == nil { // otherwise it is a Unix socket
			list = append(list, at)
		}
	}
	if at := a.adminAt.Load(); at != nil {
		list = append(list, *at)
	}
	return list
}

// idleGrace is how long idle connections are kept at the end, because a request may be on its way on them. It comes on
// top of the Delay of config.Shutdown.
const idleGrace = 500 * time.Millisecond

// serve runs a server on a socket; Shutdown ends it.
func (a *App) serve(l net.Listener, site reconcile.Site) reconcile.Server {
	if a.options.Serving != nil {
		a.serving.Do(a.options.Serving)
	}
	count, release := a.metrics.Socket(site.Socket)
	s := &server{done: make(chan struct{}), release: release, Server: listen.New(listen.Options{
		Listener: l, Handler: site.Handler, TLS: site.TLS, Announced: site.Announced, Limits: site.Limits, H2C: true,
		Engine: site.Engine, Lines: true,
		Log: a.options.Log, Refuse: a.gateway.Refuse, Count: count, Ended: count.Ended,
	})}
	go func() {
		defer close(s.done)
		err := s.Serve()
		if err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			a.options.Log.Error("a socket stopped serving", "socket", site.Socket, "error", err)
		}
	}()
	return s
}

// server is a listen.Server with the goroutine that runs it.
type server struct {
	*listen.Server
	done    chan struct{}
	release func() // releases its meter
}

// Shutdown returns when the goroutine has ended too.
func (s *server) Shutdown(ctx, idle context.Context) error {
	err := s.Server.Shutdown(ctx, idle)
	<-s.done
	s.release()
	return err
}
