// Package registryapi serves the registry over HTTP: instances register and say that they
// live, and others read and follow what there is.
//
//   - api.go: the operations, and what all of them begin with.
//   - guard.go: who may ask, and which addresses an instance may have.
//   - write.go: registering, heartbeats, deregistering.
//   - read.go: what there is.
//   - watch.go: what changes, as lines of JSON or as server-sent events.
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
	// Tokens are those who may write, by the digests of their tokens; none: only this machine may.
	Tokens map[auth.Digest]*Token
	// Guarded tells that only they may read too.
	Guarded bool
	// Allow are addresses that instances may have although they are refused otherwise.
	Allow []netip.Prefix
	// Own tells where this process listens; nil: nowhere.
	Own func() []netip.AddrPort
	// Beat is how often a watch says that it stands while nothing changes; 0: DefaultBeat.
	Beat time.Duration
}

// DefaultBeat is a promise: docs name it.
const DefaultBeat = 15 * time.Second

// Token is who may write.
type Token struct {
	Name     string
	Services []string // patterns; nil: all
	// Addresses are those that it may register beside its own.
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

// Supersede ends the watches: another API serves, by other rules, and who follows comes again.
func (a *API) Supersede() { a.end() }

// Operation is one of the API's operations, as a route.
type Operation struct {
	Name, Method, Pattern string
	Handler               http.Handler
}

// Operations are all there are. Their handlers are reached through exchange.Begin.
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

// told gives the problem of an error of the registry.
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

// named gives the service and the instance that the path names.
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
	_, _ = c.w.Write(body) // the client may be gone, and there is nobody else to tell
}

func (c *call) nothing() { c.w.WriteHeader(http.StatusNoContent) }

// body reads what is sent, at most limit bytes of it.
func (c *call) body(limit int64) ([]byte, error) {
	body, err := exchange.ReadBody(c.r, limit)
	c.x.Received += int64(len(body))
	malformed, isFault := errors.AsType[*fault.Fault](err)
	switch {
	case isFault: // it is no HTTP
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
