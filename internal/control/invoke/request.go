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

// Plan is a request as the function gets it.
type Plan struct {
	// Route is the route that leads it there, "" where none does and the function gets
	// the request as it is described.
	Route    string
	method   string
	host     string // as the client writes it
	target   *url.URL
	head     func(exchange.Head)
	exchange exchange.Exchange
}

// Plan finds out what the gateway would send for q. What guards would say is not
// asked: it is the function that is tried. Errors are about q, in words for who wrote it.
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

// unguarded is cfg without the filters that may refuse a request, and with a listener
// where it has none, as where there are only functions.
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

// leads gives what the function gets of an explained request, nil where that does not
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

// Request sends the function a planned request with this body, by the code that
// sends those of clients, and writes what a client would get to w. The error is a
// *fault.Fault where that is a problem of the gateway's own, whose text is out too.
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

// errCut is an answer that ended early.
var errCut = errors.New("the answer broke off")

// pass has the proxy do its work; an answer that breaks off is a panic of net/http's.
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
