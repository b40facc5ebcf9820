// Package registryapi serves the registry over HTTP. Instances register and send heartbeats; other clients read and
// watch the registered instances.
//
//   - api.go: the operations, and what all of them begin with.
//   - guard.go: which clients may call it, and which addresses an instance may have.
//   - write.go: registering, heartbeats, deregistering.
//   - read.go: reading what is registered.
//   - watch.go: changes, as lines of JSON or as server-sent events.
//
// Errors are problems (RFC 9457).
package registryapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/weir-gateway/weir/internal/auth"
	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/registry"
)

// Options make an API.
type Options struct {
	Registry *registry.Registry
	// Tokens are the clients that may write, by the digests of their tokens; empty: only clients on this machine may
	// write.
	Tokens map[auth.Digest]*Token
	// Guarded says that reading needs a token too.
	Guarded bool
	// Allow lists addresses that instances may have although they would otherwise be refused.
	Allow []netip.Prefix
	// Own returns the addresses at which this process listens; nil: none.
	Own func() []netip.AddrPort
	// Beat is how often a watch sends a heartbeat while nothing changes; 0: DefaultBeat.
	Beat time.Duration
}

// DefaultBeat is a promise to clients: the docs state it.
const DefaultBeat = 15 * time.Second

// Token is a client that may write.
type Token struct {
	Name     string
	Services []string // patterns; nil: all services
	// Addresses lists the addresses that the client may register beside its own.
	Addresses []netip.Prefix
}

// API serves the operations. It is safe for concurrent use.
type API struct {
	options Options
	bounds  *egress.Bounds
	over    context.Context
	end     context.CancelFunc
}

// New makes the API.
func New(o Options) *API {
	if o.Beat == 0 {
		o.Beat = DefaultBeat
	}
	a := &API{options: o, bounds: &egress.Bounds{Reach: o.Allow}}
	a.over, a.end = context.WithCancel(context.Background())
	return a
}

// Supersede ends the watches. Another API with other rules serves from now on, and the clients that watch connect
// again.
func (a *API) Supersede() { a.end() }

// Operation is one of the API's operations, as a route.
type Operation struct {
	Name, Method, Pattern string
	Handler               http.Handler
}

// Operations returns all operations. Their handlers are reached through exchange.Begin.
func (a *API) Operations() []Operation {
	const (
		services = "/v1/registry/services"
		service  = services + "/{service}"
		instance = service + "/instances/{id}"
	)
	return []Operation{
		{"register", http.MethodPut, instance, a.operation(a.register)},
		{"deregister", http.MethodDelete, instance, a.operation(a.deregister)},
		{"heartbeat", http.MethodPost, instance + "/heartbeat", a.operation(a.heartbeat)},
		{"get", http.MethodGet, instance, a.operation(a.get)},
		{"service", http.MethodGet, service, a.operation(a.service)},
		{"services", http.MethodGet, services, a.operation(a.services)},
		{"watch", http.MethodGet, "/v1/registry/watch", a.operation(a.watch)},
		{"status", http.MethodGet, "/v1/registry", a.operation(a.status)},
	}
}

// call is one request.
type call struct {
	w *exchange.Writer
	r *http.Request
	x *exchange.Exchange
}

func (a *API) operation(do func(*call) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{w: exchange.WriterOf(w), r: r, x: exchange.Of(r)}
		if err := do(c); err != nil {
			c.w.Fail(told(err))
		}
	})
}

// told returns the problem for an error of the registry.
func told(err error) error {
	invalid, isInvalid := errors.AsType[*registry.InvalidError](err)
	limit, isLimit := errors.AsType[*registry.LimitError](err)
	switch {
	case isInvalid:
		return fault.InstanceInvalid.New(sentence(invalid.Error()))
	case isLimit:
		return fault.RegistryFull.New(sentence(limit.Error()), fault.RetryAfter(10*time.Second))
	case errors.Is(err, registry.ErrUnknown):
		return fault.InstanceUnknown.New("Register it again.")
	case errors.Is(err, registry.ErrCompacted):
		return fault.RegistryCompacted.New("Watch without `from` to begin with everything there is.")
	case errors.Is(err, registry.ErrClosed):
		return fault.RegistryClosed.New("", fault.RetryAfter(time.Second), fault.WithField("Connection", "close"))
	}
	return err
}

func sentence(text string) string { return text + "." }

func (c *call) param(name string) string {
	value, _ := c.x.Params.Get(name)
	return value
}

// named returns the service and the instance that the path names.
func (c *call) named() (service, id string, err error) {
	service, id = c.param("service"), c.param("id")
	if err := registry.CheckName("service", service); err != nil {
		return "", "", err
	}
	return service, id, registry.CheckName("id", id)
}

// json answers with a document.
func (c *call) json(status int, body []byte) {
	head := c.w.Head()
	head.Set("Content-Type", "application/json")
	head.Set("Content-Length", strconv.Itoa(len(body)))
	head.Set("Cache-Control", "no-store")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body) // the client may be gone, and nothing else needs to know
}

func (c *call) nothing() { c.w.WriteHeader(http.StatusNoContent) }

// body reads the request's body, at most limit bytes of it.
func (c *call) body(limit int64) ([]byte, error) {
	body, err := exchange.ReadBody(c.r, limit)
	c.x.Received += int64(len(body))
	malformed, isFault := errors.AsType[*fault.Fault](err)
	switch {
	case isFault: // it is not valid HTTP
		return nil, malformed
	case errors.Is(err, exchange.ErrTooLong):
		return nil, tooLarge(limit)
	case err != nil && (c.r.Context().Err() != nil || errors.Is(err, io.ErrUnexpectedEOF)):
		return nil, fault.ClientGone.New("", fault.Cause(errors.Join(err, context.Cause(c.r.Context()))))
	case err != nil:
		return nil, fault.MalformedBody.New("", fault.Cause(err))
	}
	return body, nil
}

func tooLarge(limit int64) error {
	return fault.BodyTooLarge.New("An instance may say " + strconv.FormatInt(limit, 10) + " bytes of itself.")
}
