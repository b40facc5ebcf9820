// Package transform is the filter that changes requests and responses, including their bodies.
//
//   - config.go, format.go, path.go: the config.
//   - transform.go: how it is made ready, and how a request passes through it.
//   - side.go: what request and response have in common: a body that is read, changed and written.
//   - request.go, response.go: what is specific to each.
//   - patch.go: changes of single members of JSON.
//   - accept.go: the format that a client prefers.
//   - fail.go: which problem a failure is.
//   - media: the formats.
package transform

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/config/doc"
	"github.com/weir-gateway/weir/internal/filter"
)

// Definition is this kind of filter.
func Definition() filter.Definition {
	return filter.Define("transform", "changes requests and responses with their bodies: fields, formats, statuses", filter.StageTransform,
		func() Config { return Config{} }, build)
}

func build(env filter.Env, c *Config) (filter.Policy, error) {
	for _, p := range c.problems(nil) {
		p.Pos = doc.Pos{}
		return filter.Policy{}, fmt.Errorf("%s", p)
	}
	b := builder{env: env}
	made := &transformer{}
	var err error
	if made.request, err = b.request(c.Request); err != nil {
		return filter.Policy{}, fmt.Errorf("request.%w", err)
	}
	if made.response, err = b.response(c.Response); err != nil {
		return filter.Policy{}, fmt.Errorf("response.%w", err)
	}
	made.request.reads = made.request.reads || b.readsRequest
	made.response.reads = made.response.reads || b.readsResponse
	return filter.Policy{Adapt: made.adapt, Bodies: made.request.reads, Note: made.note()}, nil
}

// builder makes the parts ready and records what they read.
type builder struct {
	env                         filter.Env
	readsRequest, readsResponse bool
}

// compile returns a function that compiles expressions of that type and scope.
func (b *builder) compile(want expr.Type, scope expr.Scope) func(*config.Expr) (*expr.Program, error) {
	return func(e *config.Expr) (*expr.Program, error) {
		p, err := expr.Compile(e.Source, want, scope)
		if err != nil {
			return nil, err
		}
		b.readsRequest = b.readsRequest || p.Reads().RequestBody
		b.readsResponse = b.readsResponse || p.Reads().ResponseBody
		return p, nil
	}
}

// transformer is a Config ready to run. It is safe for concurrent use.
type transformer struct {
	request  request
	response response
}

// passage is one request on its way through the filter.
type passage struct {
	*transformer

	in expr.Input
	// requestBody and responseBody are the values that expressions read, nil for an empty body.
	requestBody, responseBody any
	write                     *codec // for the response
	head                      bool   // the client sent a HEAD request
}

func (t *transformer) adapt(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) { return t.roundTrip(next, r) })
}

func (t *transformer) roundTrip(next http.RoundTripper, r *http.Request) (*http.Response, error) {
	p := &passage{transformer: t}
	p.in = expr.Input{
		Request:      r.WithContext(r.Context()), // as it arrived, also for expressions that run later
		RequestBody:  func() (any, error) { return p.requestBody, nil },
		ResponseBody: func() (any, error) { return p.responseBody, nil },
	}
	exchange.OwnHead(r)
	if err := p.outward(r); err != nil {
		closeBody(r.Body)
		return nil, err
	}
	res, err := next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer, err := p.homeward(res)
	if err != nil {
		closeBody(res.Body)
		return nil, err
	}
	return answer, nil
}

// outward changes the request.
func (p *passage) outward(r *http.Request) error {
	if err := p.negotiate(r); err != nil {
		return err
	}
	if err := p.request.change(p, r); err != nil {
		return err
	}
	p.askForWhole(r)
	return nil
}

// note says what is read and written, and how much is held for it.
func (t *transformer) note() string {
	var parts []string
	for _, s := range []struct {
		name string
		side *side
	}{{"request", &t.request.side}, {"response", &t.response.side}} {
		if text := s.side.note(); text != "" {
			parts = append(parts, s.name+" "+text)
		}
	}
	return strings.Join(parts, ", ")
}

// roundTripper makes a function an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
