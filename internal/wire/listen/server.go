package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/http1"
	"github.com/weir-gateway/weir/internal/wire/http2"
)

// Options configure a Server. Listener and Handler must be set.
type Options struct {
	Listener net.Listener // closed by the Server
	Handler  http.Handler
	Limits   config.Limits // a value of 0 means its default here
	H2C      bool          // HTTP/2 without TLS, by prior knowledge
	// Engine is what reads requests of HTTP/1.x and writes responses; "" is config.StdEngine. Requests of HTTP/2 are
	// always read by net/http.
	Engine config.Engine
	// Lines says that Handler reads heads through exchange.Head alone and keeps nothing of a request, so that an engine
	// of our own may give it lines as they came.
	Lines bool
	// TLS, if not nil, terminates TLS on every connection. Without NextProtos it offers h2 and http/1.1; what its
	// GetConfigForClient returns must do the same.
	TLS *tls.Config
	// Announced, if not nil, expects the PROXY protocol on every connection.
	Announced *Announced
	Log       *slog.Logger // nil: slog.Default()
	// Count counts connections; nil: they are not counted.
	Count *telemetry.Socket
	// Refuse answers a request that broke a rule of the wire; nil: exchange.Refuse.
	Refuse func(w http.ResponseWriter, r *http.Request, f *fault.Fault)
	// Ended is called each time that a client is cut off for what it did, with one of Endings; nil: it is not called.
	// Several goroutines call it.
	Ended func(reason string)
}

// withDefaults fills in the limits that this package needs.
func withDefaults(l config.Limits) config.Limits {
	standard := config.DefaultLimits()
	l.HeadBytes = orDefault(l.HeadBytes, standard.HeadBytes)
	l.HeadFields = orDefault(l.HeadFields, standard.HeadFields)
	l.URLBytes = orDefault(l.URLBytes, standard.URLBytes)
	l.Connections = orDefault(l.Connections, standard.Connections)
	l.FirstRequest = orDefault(l.FirstRequest, standard.FirstRequest)
	l.HeadTime = orDefault(l.HeadTime, standard.HeadTime)
	l.KeepAlive = orDefault(l.KeepAlive, standard.KeepAlive)
	switch {
	case l.BodyRate == 0:
		l.BodyRate = standard.BodyRate
	case l.BodyRate < 0: // config.NoRate
		l.BodyRate = 0
	}
	return l
}

func orDefault[T int | time.Duration](value, standard T) T {
	if value <= 0 {
		return standard
	}
	return value
}

// Server serves one socket. Serve runs it, Shutdown ends it; both are called
// once, from different goroutines.
type Server struct {
	listener   net.Listener
	handler    http.Handler
	refuse     func(http.ResponseWriter, *http.Request, *fault.Fault)
	log        *slog.Logger
	tls        *tls.Config
	announced  *Announced
	complained seldom
	limits     config.Limits
	sieve      http1.Options
	meter      http2.Options
	http       *http.Server
	own        *http1.Server // nil: HTTP/1.x is net/http's too

	ready       *handover // connections whose handshake is complete
	connections connections
	count       *telemetry.Socket
	computing   slots
	sheds       sheds
	full        string         // the answer to a client when there is no room
	starting    sync.WaitGroup // handshakes and connections that are being refused
	admitted    chan struct{}  // closed when the last connection was passed on
	leaving     atomic.Bool
	ending      context.Context //nolint:containedctx // done when Shutdown begins
	end         context.CancelFunc
}

// New makes a Server. It accepts no connections before Serve is called.
func New(o Options) *Server {
	limits := withDefaults(o.Limits)
	s := &Server{
		listener:    o.Listener,
		handler:     o.Handler,
		refuse:      o.Refuse,
		log:         o.Log,
		announced:   o.Announced,
		limits:      limits,
		ready:       newHandover(o.Listener.Addr()),
		connections: newConnections(Room(limits.Connections), limits, o.Count),
		computing:   newSlots(),
		count:       o.Count,
		sheds:       newSheds(),
		admitted:    make(chan struct{}),
		full:        fullAnswer(),
		sieve: http1.Options{
			Limits:   http1.Limits{HeadBytes: limits.HeadBytes, HeadFields: limits.HeadFields, TargetBytes: limits.URLBytes},
			HeadTime: limits.HeadTime,
			BodyRate: limits.BodyRate,
			H2C:      o.H2C && o.TLS == nil,
		},
		meter: http2.Options{HeadTime: limits.HeadTime, HeadBytes: limits.HeadBytes, HeadFields: limits.HeadFields},
	}
	s.ending, s.end = context.WithCancel(context.Background())
	if s.log == nil {
		s.log = slog.Default()
	}
	endings := newEndings(o.Ended, s.log)
	s.connections.endings, s.sieve.Slow, s.meter.Ended = endings, endings.slow, endings.frames
	s.sieve.Rest = s.rest
	if s.refuse == nil {
		s.refuse = exchange.Refuse
	}
	if o.TLS != nil {
		s.tls = o.TLS.Clone()
		if len(s.tls.NextProtos) == 0 {
			s.tls.NextProtos = []string{"h2", "http/1.1"}
		}
	}
	s.http = s.newHTTPServer()
	if o.Engine == config.OwnEngine {
		s.own = s.newOwn(o.Lines)
	}
	return s
}

func (s *Server) newHTTPServer() *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(s.tls != nil || s.sieve.H2C) // what TLS there is was ended by us
	return &http.Server{                                       //nolint:gosec // G112: the Sieve bounds the time of heads, by connection and by request
		Handler:                      handler{s},
		DisableGeneralOptionsHandler: true, // OPTIONS * is for routes to answer
		IdleTimeout:                  s.limits.KeepAlive,
		MaxHeaderBytes:               s.limits.HeadBytes,
		ConnState:                    follow,
		ConnContext:                  s.withOrigin,
		ErrorLog:                     slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // what clients do wrong
		Protocols:                    &protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          128,
			MaxDecoderHeaderTableSize:     4 << 10,
			MaxReadFrameSize:              16 << 10,
			MaxReceiveBufferPerConnection: 1 << 20,
			MaxReceiveBufferPerStream:     512 << 10,
			SendPingTimeout:               30 * time.Second,
			PingTimeout:                   15 * time.Second,
		},
	}
}

// Addr returns the bound address.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Connections returns the number of open client connections, including upgraded ones.
func (s *Server) Connections() int { return s.connections.count() }

// Serve accepts connections until Shutdown is called, and then returns nil. An error means that the socket itself
// failed; connections that are open are still served.
func (s *Server) Serve() error {
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.ready) }()
	err := s.accept()
	s.starting.Wait() // bounded by the time for the first head
	close(s.admitted)
	if err != nil {
		return err
	}
	if err = <-served; errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("serve on %s: %w", s.listener.Addr(), err)
}

func (s *Server) isClosing() bool { return s.ending.Err() != nil }

// Leave makes every response from now on say that its connection ends (Connection: close), and tells HTTP/2 clients at
// once (GOAWAY), so that they go elsewhere. New connections are still accepted.
func (s *Server) Leave() {
	s.leaving.Store(true)
	s.connections.announce()
}

// Leaving reports whether responses say that their connection ends.
func (s *Server) Leaving() bool { return s.leaving.Load() }

// Ending returns a context that is done when Shutdown begins.
func (s *Server) Ending() context.Context { return s.ending }

// Shutdown stops accepting, tells clients that the connection ends, and lets requests and upgraded connections finish
// until ctx ends. It then closes the connections that are left; the error says how many they were.
//
// Accepted connections are served: a client that connected a moment before may already have sent a request. So may a
// client on an idle connection; those connections are kept until idle ends, and each is served once more.
func (s *Server) Shutdown(ctx, idle context.Context) error {
	s.Leave()
	s.connections.hurry(lastHeads(idle))
	s.end()
	err := s.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	s.await(ctx, s.admitted)
	idle, stop := context.WithCancel(idle)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	s.await(idle, s.connections.gone())
	s.connections.hurry(lastHeads(idle))
	s.connections.wake()
	if s.own != nil {
		s.own.Retire()
	}
	if s.http.Shutdown(ctx) == nil {
		s.await(ctx, s.connections.gone())
	}
	if left := s.connections.closeAll(); left > 0 {
		err = errors.Join(err, fmt.Errorf("%d connections were closed before they had finished: %w", left, context.Cause(ctx)))
	}
	_ = s.http.Close() // its connections are closed
	if s.own != nil {
		s.own.Close()
	}
	<-s.admitted
	s.connections.resting.Wait() // each saw that its connection was closed
	return err
}

// lastHead is the time for a head that is on its way when Shutdown is called.
const lastHead = time.Second

// lastHeads returns when the awaited heads must have come, if idle connections are kept until idle ends.
func lastHeads(idle context.Context) time.Time {
	by := time.Now().Add(lastHead)
	if end, ok := idle.Deadline(); ok && idle.Err() == nil && end.After(by) {
		return end
	}
	return by
}

// await returns when it has happened, or ctx ends.
func (s *Server) await(ctx context.Context, happened <-chan struct{}) {
	select {
	case <-happened:
	case <-ctx.Done():
	}
}
