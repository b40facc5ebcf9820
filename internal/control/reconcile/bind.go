package reconcile

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
	"github.com/weir-gateway/weir/internal/wire/listen"
	"github.com/weir-gateway/weir/internal/wire/secure"
)

// Server serves a socket.
type Server interface {
	// Leave makes every response say that its connection ends.
	Leave()
	// Shutdown accepts no new connections and lets requests under way finish until ctx ends. Then it closes what is
	// left; it closes idle connections when idle ends.
	Shutdown(ctx, idle context.Context) error
}

// Site is what a server serves.
type Site struct {
	Socket  string // its name
	Handler http.Handler
	TLS     *tls.Config // nil: plain
	// Announced are the peers that announce the real client with the PROXY protocol, as every connection then must;
	// nil: no peer does.
	Announced *listen.Announced
	Limits    config.Limits
	Engine    config.Engine
}

// binding is a bound address, with the server that has it now.
type binding struct {
	key    string // see addressKey
	name   string // of the socket, in the config that serves
	socket *socket
	loan   *loan
	server Server
	mode   mode
	// handler is that of server.
	handler *snapshot.Handler
}

// mode is what a server is made for; another mode needs another server.
type mode struct {
	secure    bool
	announced string        // by which peers, "" for none
	limits    config.Limits // those of the wire
	engine    config.Engine
}

func modeOf(secure bool, announced *listen.Announced, cfg *config.Config) mode {
	limits := cfg.Limits
	limits.InFlight, limits.BodyBytes, limits.MemoryBytes = 0, 0, 0 // enforced elsewhere
	m := mode{secure: secure, limits: limits, engine: cfg.Engine.OrUsual()}
	if announced != nil {
		m.announced = fmt.Sprint("by ", announced.By)
	}
	return m
}

// announcedOn returns the peers that may announce connections on a socket, nil if none may.
func announcedOn(cfg *config.Config, socket string) *listen.Announced {
	i := slices.IndexFunc(cfg.Listeners, func(l config.Listener) bool { return l.Socket == socket })
	if i < 0 || cfg.Listeners[i].Announced == nil {
		return nil
	}
	if by := cfg.Listeners[i].Announced.By; by != nil {
		return &listen.Announced{By: by}
	}
	return &listen.Announced{By: cfg.TrustedProxies}
}

// addressKey identifies a socket, whatever name configs give it: by its address, and also by its name if the system
// chooses the port.
func addressKey(s config.Socket) string {
	if _, port, err := net.SplitHostPort(s.Address); err == nil && port == "0" {
		return s.Address + " " + s.Name
	}
	return s.Address
}

// open binds the addresses of cfg that are not bound yet; nothing is accepted on them yet. If one fails, those opened
// before it are closed again.
func (r *Reconciler) open(cfg *config.Config) (map[string]*socket, error) {
	opened := map[string]*socket{}
	for _, s := range served(cfg) {
		key := addressKey(s)
		if r.bound[key] != nil || opened[key] != nil {
			continue
		}
		r.leaving.Wait() // the address may be one that is being released, or be covered by one
		l, err := r.options.Open(listen.Want{Key: key, Address: s.Address, Listeners: listenersOn(cfg, s)})
		if err == nil {
			opened[key], err = newSocket(l)
		}
		if err != nil {
			for _, o := range opened {
				_ = o.close() // it has served no client
			}
			return nil, r.explainBusy(s, err)
		}
	}
	return opened, nil
}

// listenersOn returns the names of a socket's listeners, and its own name.
func listenersOn(cfg *config.Config, s config.Socket) []string {
	names := []string{s.Name}
	for _, l := range cfg.Listeners {
		if l.Socket == s.Name {
			names = append(names, l.Name)
		}
	}
	return names
}

// explainBusy adds to the error that this process itself holds the port, if it does; the system does not say so.
func (r *Reconciler) explainBusy(s config.Socket, err error) error {
	_, port, _ := net.SplitHostPort(s.Address) // "" for Unix sockets, which matches no address below
	for _, b := range r.bound {
		if _, held, _ := net.SplitHostPort(b.socket.listener.Addr().String()); held == port && port != "" {
			return fmt.Errorf("socket %s: this gateway itself listens on %s, which covers port %s; "+
				"the change from one to the other needs a restart, or another port: %w", s.Name, b.socket.listener.Addr(), port, err)
		}
	}
	return fmt.Errorf("socket %s: %w", s.Name, err)
}

// served returns the sockets that have an HTTP listener. Other protocols that objects may ask for (TCP, UDP, TLS
// passthrough) must not be answered with HTTP by mistake.
func served(cfg *config.Config) []config.Socket {
	return slices.DeleteFunc(slices.Clone(cfg.Sockets), func(s config.Socket) bool {
		return !slices.ContainsFunc(cfg.Listeners, func(l config.Listener) bool {
			return l.Socket == s.Name && (l.Protocol == config.HTTP || l.Protocol == config.HTTPS)
		})
	})
}

// socketNames maps the keys of sockets to their names, where these differ.
func socketNames(cfg *config.Config) map[string]string {
	names := map[string]string{}
	for _, s := range served(cfg) {
		if key := addressKey(s); key != s.Name {
			names[key] = s.Name
		}
	}
	return names
}

// keep makes the servers of sockets that cfg does not have continue with the snapshot that serves now, until release is
// called.
func (r *Reconciler) keep(cfg *config.Config) (release func()) {
	wanted := map[string]bool{}
	for _, s := range served(cfg) {
		wanted[addressKey(s)] = true
	}
	var kept []func()
	for key, b := range r.bound {
		if !wanted[key] {
			kept = append(kept, b.handler.Keep())
		}
	}
	return func() {
		for _, release := range kept {
			release()
		}
	}
}

// serve gives every socket of cfg a server of the right mode. It returns the replaced servers, whose connections are
// still open, and the sockets that are no longer wanted. The snapshot already serves.
func (r *Reconciler) serve(cfg *config.Config, s *snapshot.Snapshot, opened map[string]*socket) (gone []Server, unwanted []*binding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	wanted := map[string]bool{}
	for _, configured := range served(cfg) {
		key := addressKey(configured)
		wanted[key] = true
		b := r.bound[key]
		if b == nil {
			b = &binding{key: key, socket: opened[key]}
			r.bound[key] = b
			r.options.Log.Info("listening", "socket", configured.Name, "address", b.socket.listener.Addr().String())
		}
		b.name = configured.Name
		announced := announcedOn(cfg, b.name)
		if m := modeOf(s.Secure(b.name), announced, cfg); b.server == nil || b.mode != m {
			if b.server != nil {
				gone = append(gone, r.retire(b))
			}
			b.mode, b.loan, b.handler = m, b.socket.lend(), r.options.Gateway.Handler(b.key)
			b.server = r.options.Serve(b.loan, r.site(b, announced, cfg))
		}
	}
	for key, b := range r.bound {
		if !wanted[key] {
			unwanted = append(unwanted, b)
			delete(r.bound, key)
			_ = b.loan.quieten() // if it is closed already, no client can connect
		}
	}
	return gone, unwanted
}

func (r *Reconciler) site(b *binding, announced *listen.Announced, cfg *config.Config) Site {
	return Site{Socket: b.name, Handler: b.handler, TLS: r.tls(b), Announced: announced, Limits: cfg.Limits, Engine: cfg.Engine.OrUsual()}
}

// retire takes the socket away from its server, which then accepts nothing more.
func (r *Reconciler) retire(b *binding) Server {
	if err := b.loan.Close(); err != nil {
		r.options.Log.Warn("a socket could not be handed on", "socket", b.name, "error", err)
	}
	return b.server
}

// giveUp releases addresses, each once its server has accepted the connections that waited there. It returns the
// servers.
func (r *Reconciler) giveUp(bindings []*binding) (gone []Server) {
	var all sync.WaitGroup
	for _, b := range bindings {
		gone = append(gone, b.server)
		all.Go(func() {
			b.server.Leave()
			err := b.loan.finish()
			if closeErr := b.socket.close(); !errors.Is(closeErr, net.ErrClosed) {
				err = errors.Join(err, closeErr)
			}
			if err != nil {
				r.options.Log.Warn("a socket could not be given up", "socket", b.name, "error", err)
			}
		})
	}
	all.Wait()
	return gone
}

// leaveTo closes this process's side of sockets that another process listens on.
func (r *Reconciler) leaveTo(bindings []*binding) (gone []Server) {
	for _, b := range bindings {
		gone = append(gone, r.retire(b))
		if file, ok := b.socket.listener.(interface{ SetUnlinkOnClose(unlink bool) }); ok {
			file.SetUnlinkOnClose(false) // the other process has the socket's file too
		}
		if err := b.socket.close(); err != nil && !errors.Is(err, net.ErrClosed) {
			r.options.Log.Warn("a socket could not be closed", "socket", b.name, "error", err)
		}
	}
	return gone
}

// tls gives every handshake the policy of the snapshot that serves at that moment.
func (r *Reconciler) tls(b *binding) *tls.Config {
	if !b.mode.secure {
		return nil
	}
	handler, key, log := b.handler, b.key, r.options.Log
	return &tls.Config{
		MinVersion: config.DefaultMinVersion,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			name := secure.ServerName(hello)
			policy := handler.Snapshot().Policy(key, name) // there was a snapshot before there was a server
			if policy == nil {
				log.Debug("a TLS handshake is refused: no listener has the name", "socket", key, "name", name)
				return secure.Refusal(), nil
			}
			listen.Bind(hello, policy.Terms())
			return policy.Config(), nil
		},
	}
}
