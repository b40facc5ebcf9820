package invoke

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/control/compile"
	"github.com/weir-gateway/weir/internal/control/explain"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/traffic/proxy"
	"github.com/weir-gateway/weir/internal/traffic/snapshot"
)

// Plan is a request as the function will receive it.
type Plan struct {
	// Route is the route that leads the request to the function. It is "" if no route does, and the function receives
	// the request as described.
	Route    string
	method   string
	host     string // as the client writes it
	target   *url.URL
	head     func(exchange.Head)
	exchange exchange.Exchange
}

// Plan finds out what the gateway would send for q. It does not ask guards, since the function is what is tested.
// Errors are about q, in words for its author.
func (f *Function) Plan(parts compile.Parts, cfg *config.Config, q explain.Request) (*Plan, error) {
	described, identity, err := q.Describe()
	if err != nil {
		return nil, err //nolint:wrapcheck // it is for who wrote it
	}
	s, problems := compile.Check(parts, unguarded(cfg, parts.Filters), "")
	if s == nil {
		return nil, fmt.Errorf("the config: %v", problems)
	}
	e, err := explain.Run(s, q)
	switch {
	case err != nil:
		return nil, err //nolint:wrapcheck // as above
	case e.Path == "":
		return nil, fmt.Errorf("%s: %s", q.URL, e.Problem.Detail)
	}
	p := &Plan{method: described.Method, host: described.Host, head: func(h exchange.Head) {
		exchange.CopyAll(h, exchange.RequestHead(described))
	}}
	p.exchange = *f.exchange()
	p.exchange.Host, p.exchange.Path, p.exchange.Query, p.exchange.Identity = e.Host, e.Path, e.Query, identity
	target := e.Path
	if e.Query != "" {
		target += "?" + e.Query
	}
	if sent := f.leads(cfg, e); sent != nil {
		p.Route, p.exchange.Route, target = e.Route.Name, e.Route.Name, sent.Target
		for _, param := range e.Params {
			p.exchange.Params.Add(param.Name, param.Value)
		}
	}
	if p.target, err = url.ParseRequestURI(target); err != nil {
		return nil, fmt.Errorf("%s: %w", q.URL, err)
	}
	return p, nil
}

// unguarded returns cfg without the filters that may refuse a request. It adds a listener if cfg has none, as a config
// with only functions does.
func unguarded(cfg *config.Config, definitions []filter.Definition) *config.Config {
	guards := map[string]bool{}
	for _, d := range definitions {
		guards[d.Name] = d.Stage < filter.StageCache
	}
	open := *cfg
	open.Routes = slices.Clone(cfg.Routes)
	if len(open.Listeners) == 0 {
		const name = "invoke"
		open.Sockets = []config.Socket{{Name: name, Address: "127.0.0.1:0"}}
		open.Listeners = []config.Listener{{Name: name, Socket: name, Protocol: config.HTTP}}
	}
	for i := range open.Routes {
		r := &open.Routes[i]
		r.Filters = slices.DeleteFunc(slices.Clone(r.Filters), func(f config.Filter) bool { return guards[f.Name] })
	}
	return &open
}

// leads returns the request that the function receives for an explained request, nil if the explained request does not
// lead to it.
func (f *Function) leads(cfg *config.Config, e snapshot.Explanation) *snapshot.Outbound {
	if e.Route == nil {
		return nil
	}
	at := slices.IndexFunc(cfg.Routes, func(r config.Route) bool { return r.Name == e.Route.Name && r.Group == f.group })
	if at < 0 {
		return nil
	}
	_, name, _ := strings.Cut(f.name, ":")
	for _, b := range e.Backends {
		if b.Request != nil && (b.Name == f.name || b.Name == name) {
			return b.Request
		}
	}
	return nil
}

// Request sends a planned request with this body to the function, through the code that sends the requests of clients,
// and writes to w what a client would receive. The error is a *fault.Fault if it is a problem of the gateway itself;
// its text has then been written, too.
func (f *Function) Request(ctx context.Context, p *Plan, body []byte, w http.ResponseWriter) (Report, error) {
	r, err := http.NewRequestWithContext(ctx, p.method, "http://localhost/", bytes.NewReader(body))
	if err != nil {
		return Report{}, err //nolint:wrapcheck // the plan's method was looked at
	}
	r.URL, r.Host, r.RequestURI = p.target, p.host, p.target.RequestURI()
	p.head(exchange.RequestHead(r))
	x := p.exchange
	x.ID, x.Start = function.NewID(), time.Now()
	local := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	x.Client = forward.Receive(local, false, p.host, exchange.RequestHead(r), nil)
	x.Path = p.target.EscapedPath()
	x.Query = p.target.RawQuery
	x.Verbose = true
	ew, r := exchange.Begin(w, r, &x)
	call := f.begin(&x)
	err = f.pass(ew, r, call)
	if x.Fault != nil {
		err = x.Fault
	}
	return call.report(), err
}

// errCut reports an answer that ended early.
var errCut = errors.New("the answer broke off")

// pass runs the proxy. A panic with http.ErrAbortHandler means that the answer broke off.
func (f *Function) pass(w *exchange.Writer, r *http.Request, c *call) (err error) {
	defer func() {
		switch cause := recover(); cause {
		case nil:
			w.Finish(nil)
		case http.ErrAbortHandler:
			err = errCut
			w.Finish(err)
		default:
			panic(cause)
		}
	}()
	proxy.New(proxy.Options{Backend: timed{f, c}}).ServeHTTP(w, r)
	return nil
}

// timed notes when the answer begins.
type timed struct {
	f    *Function
	call *call
}

// RoundTrip implements http.RoundTripper.
func (t timed) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := t.f.roundTripper().RoundTrip(r)
	t.call.answered()
	return res, err //nolint:wrapcheck // it is only handed through
}
