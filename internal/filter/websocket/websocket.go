package websocket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/sockets"
	"github.com/weir-gateway/weir/internal/function/form/apigw"
	"github.com/weir-gateway/weir/internal/wire/websocket"
)

// server is a Config ready to run, and the sockets.Way of its route.
type server struct {
	config   *Config
	hub      *sockets.Hub // nil where a config is only checked
	log      *slog.Logger
	backends map[string]http.RoundTripper // by key; nil: no backend is called
	open     *count
	hosts    []string          // the host names that the config has for this route
	next     http.RoundTripper // the route's own backend, set by adapt
}

// count is how many connections a route has.
type count struct{ n atomic.Int64 }

// roundTripper makes a function an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func (s *server) adapt(next http.RoundTripper) http.RoundTripper {
	s.next = next
	return roundTripper(s.upgrade)
}

// upgrade answers a request for a WebSocket.
func (s *server) upgrade(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }() // a request for a WebSocket has none
	}
	if !strings.EqualFold(forward.UpgradeOf(exchange.RequestHead(r)), websocket.Protocol) {
		return nil, fault.UpgradeRequired.New("This is a WebSocket.", fault.WithField("Upgrade", websocket.Protocol))
	}
	key, err := websocket.Asked(r)
	if errors.Is(err, websocket.ErrVersion) {
		return nil, fault.UpgradeRequired.New("The version of WebSocket is "+websocket.Version+".", fault.WithField("Upgrade", websocket.Protocol),
			fault.WithField("Sec-WebSocket-Version", websocket.Version), fault.Cause(err))
	}
	if err != nil {
		return nil, fault.MalformedRequest.New("", fault.Cause(err))
	}
	if s.open.n.Add(1) > int64(s.config.Connections) {
		s.open.n.Add(-1)
		return nil, fault.Overloaded.New("", fault.RetryAfter(time.Second), fault.Internal("the route has %d WebSockets, as many as it may", s.config.Connections))
	}
	res, err := caller{s, s.socket(r)}.begin(r, key)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		s.open.n.Add(-1)
	}
	return res, err
}

// socket is the connection that a request asks for.
func (s *server) socket(r *http.Request) apigw.Socket {
	return apigw.Socket{ID: sockets.NewID(), Stage: string(s.config.Stage), Domain: s.domain(r), Connected: time.Now(), Request: exchange.Detach(r)}
}

// domain returns the domain that functions are told, to which they may send signed requests. It is a name from the
// config, with a port only if the client has really connected to it; else the address that it has connected to.
func (s *server) domain(r *http.Request) string {
	if s.config.Domain != "" {
		return string(s.config.Domain)
	}
	own := "localhost" // for a Unix socket
	port := ""
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		at := local.AddrPort()
		own, port = netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port()).String(), strconv.Itoa(int(at.Port()))
	}
	asked := exchange.Of(r).Client.Host
	name, err := httpx.NormalizeHost(asked)
	switch {
	case err != nil || !slices.Contains(s.hosts, name):
		return own
	case port != "" && strings.HasSuffix(asked, ":"+port):
		return net.JoinHostPort(name, port)
	case strings.Contains(name, ":"):
		return "[" + name + "]"
	default:
		return name
	}
}

// caller notifies functions of one connection.
type caller struct {
	*server

	socket apigw.Socket
}

// begin asks whether the connection is accepted, and opens it.
func (c caller) begin(r *http.Request, key string) (*http.Response, error) {
	answer, err := c.tell(r.Context(), apigw.ConnectKey, c.socket.Begun(sockets.NewID(), time.Now()))
	if err != nil {
		return nil, err
	}
	accepted := exchange.NewResponse(r, http.StatusSwitchingProtocols, exchange.Field{Name: "Sec-Websocket-Accept", Value: websocket.Accept(key)})
	if answer != nil {
		head := exchange.ResponseHead(answer)
		_ = answer.Body.Close() // its body is not used
		if answer.StatusCode < http.StatusOK || answer.StatusCode >= http.StatusMultipleChoices {
			return exchange.NewResponse(r, answer.StatusCode, exchange.Field{Name: "Content-Length", Value: "0"}), nil
		}
		if subprotocol := head.Get("Sec-Websocket-Protocol"); subprotocol != "" && websocket.Offers(r, subprotocol) {
			exchange.ResponseHead(accepted).Set("Sec-Websocket-Protocol", subprotocol)
		}
	}
	forward.SetUpgrade(exchange.ResponseHead(accepted), websocket.Protocol)
	accepted.Body = c.open()
	return accepted, nil
}

// backend returns the backend for a key, nil for none.
func (s *server) backend(key string) http.RoundTripper {
	if own, said := s.backends[key]; said {
		return own
	}
	return s.next
}

// tell notifies a function of an event and returns its response, nil if no backend is called. The call ends with ctx,
// or after the configured timeout.
func (c caller) tell(ctx context.Context, key string, e apigw.SocketEvent) (*http.Response, error) {
	backend := c.backend(key)
	if backend == nil {
		return nil, nil //nolint:nilnil // nobody is told, and nothing is wrong
	}
	payload, err := apigw.EncodeSocket(e)
	if err != nil {
		return nil, fault.Unexpected.New("", fault.Cause(err))
	}
	x := exchange.Of(exchange.Detach(c.socket.Request))
	x.Event, x.ID, x.Start, x.Trace = key, e.RequestContext.RequestID, time.Now(), nil
	ctx, cancel := context.WithTimeoutCause(ctx, c.config.Timeout, fault.FunctionTimeout.New("", fault.Internal("no answer to %s within %v", key, c.config.Timeout)))
	target := *c.socket.Request.URL
	r := exchange.NewRequest(exchange.Context(ctx, x), c.socket.Request)
	r.Method, r.URL, r.Host, r.ContentLength = http.MethodPost, &target, c.socket.Request.Host, int64(len(payload))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(payload)), nil }
	r.Body, _ = r.GetBody() // never fails
	exchange.SetFields(exchange.RequestHead(r), exchange.Field{Name: "Content-Type", Value: "application/json"})
	res, err := backend.RoundTrip(r)
	if err != nil {
		cancel()
		return nil, err //nolint:wrapcheck // the function's own
	}
	res.Body = &ending{res.Body, cancel}
	return res, nil
}

// ending ends the call when its response is closed.
type ending struct {
	io.ReadCloser

	cancel context.CancelFunc
}

func (e *ending) Close() error {
	defer e.cancel()
	return e.ReadCloser.Close() //nolint:wrapcheck // it is only passed on
}

// read reads a response that is sent to the client, up to the length of a message.
func (s *server) read(res *http.Response) ([]byte, error) {
	defer func() { _ = res.Body.Close() }() // it was read
	body, err := io.ReadAll(io.LimitReader(res.Body, int64(s.config.Message)+1))
	if err == nil && int64(len(body)) > int64(s.config.Message) {
		err = fault.FunctionBadResponse.New("", fault.Internal("its answer has more than %v", s.config.Message))
	}
	if err != nil {
		return nil, fmt.Errorf("answer: %w", err)
	}
	return body, nil
}
