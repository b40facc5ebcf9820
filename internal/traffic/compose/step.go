package compose

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/config"
)

// step is a config.Step made ready.
type step struct {
	name    string
	route   string // method and path, in the form that functions are told
	backend Backend

	method  string
	path    path
	query   []expr.Field
	headers []expr.Field
	body    *expr.Document // nil: none

	when, each *expr.Program // nil: always, once
	parallel   int
	timeout    time.Duration // 0: none
	retry      config.Retry  // without the tries that the backend makes itself
	rules      []config.StatusRule
	unwritten  func(status int) config.StatusAction // what a status means if no rule covers it
	otherwise  *expr.Document                       // nil: a failure of the step is a failure of the composition
	bodyBytes  int64

	cache *cache // nil: no results are kept

	decodes, looksInto, keepsText, readsHead bool // what is read of its response
	needs                                    int  // the number of steps that it waits for
	dependents                               []int

	undo        *step // takes the step back; nil: nothing does
	undoNeedsIt bool  // undo reads the step's result
}

// The scopes of a step's expressions: stepScope for those about the step, callScope for those of a call.
const (
	stepScope = expr.Request | expr.Steps
	callScope = stepScope | expr.Item
)

// step makes one step ready.
func (b *builder) step(made *step, s *config.Step) error {
	backend, err := b.backend(s)
	if err != nil {
		return err
	}
	*made = step{
		name: s.Name, backend: backend, method: s.Method, parallel: s.Parallel,
		timeout: max(0, cmp.Or(s.Timeout, backend.Total, config.DefaultStepTimeout)), rules: s.Statuses, bodyBytes: s.BodyBytes,
		unwritten: usualMeaning,
	}
	if s.Retry != nil && !backend.Retries {
		made.retry = *s.Retry
	}
	if made.when, err = b.program(s.When, expr.Bool, stepScope); err != nil {
		return err
	}
	if made.each, err = b.program(s.Each, expr.List, stepScope); err != nil {
		return err
	}
	if made.path, err = b.path(s.Path, callScope); err != nil {
		return err
	}
	made.route = s.Method + " " + made.path.Text
	if made.query, err = b.fields(s.Query, callScope, func(string) bool { return true }); err != nil {
		return err
	}
	if made.headers, err = b.fields(s.Headers, callScope, httpx.IsFieldValue); err != nil {
		return err
	}
	if made.body, err = b.tree(s.Body, callScope); err != nil {
		return err
	}
	if made.cache, err = b.cache(s.Cache, s.Name); err != nil {
		return err
	}
	made.otherwise, err = b.tree(s.Else, callScope)
	return err
}

// meaning returns what a status means for the step.
func (s *step) meaning(status int) config.StatusAction {
	for _, r := range s.rules {
		if r.From <= status && status <= r.To {
			return r.Do
		}
	}
	return s.unwritten(status)
}

// usualMeaning returns what a status means for a step if no rule covers it.
func usualMeaning(status int) config.StatusAction {
	if status >= http.StatusOK && status < http.StatusMultipleChoices {
		return config.StatusOK
	}
	return config.StatusFail
}

// prepare makes the call for the element that in holds. Everything that is computed is computed here, by the goroutine
// that owns the request.
func (s *step) prepare(r *run) (*call, error) {
	c := &call{run: r, step: s, element: noElement}
	r.exchange.Branch(&c.exchange)
	c.within.Bear(&c.exchange)
	c.exchange.Route = s.route
	var err error
	if c.path, err = s.path.Make(&r.in, &r.exchange.Params, &c.exchange.Params); err != nil {
		return nil, s.wrongPath(err)
	}
	if c.query, err = query(s.query, &r.in); err != nil {
		return nil, err
	}
	if c.headers, err = head(s.headers, &r.in); err != nil {
		return nil, err
	}
	if s.body != nil {
		if c.body, err = s.body.Append(nil, &r.in); err != nil {
			return nil, err
		}
	}
	c.exchange.Path, c.exchange.Query = c.path, c.query
	if s.cache != nil {
		err = s.cache.prepare(c)
	}
	return c, err
}

// wrongPath tells a path that the client has made impossible from a path with a value from elsewhere, about which the
// client can do nothing.
func (s *step) wrongPath(err error) error {
	if s.path.clients {
		return err
	}
	return &ownError{err}
}

// fill writes the step's head: its own header fields, and those that every request has unless the step's own say
// otherwise.
func (c *call) fill(out *http.Request) {
	to := exchange.RequestHead(out)
	out.Host = c.step.backend.Host
	fields := append(make([]exchange.Field, 0, usualFields), exchange.Field{Name: "Accept", Value: jsonType})
	if c.body != nil {
		fields = append(fields, exchange.Field{Name: "Content-Type", Value: jsonType})
	}
	exchange.SetFields(to, append(fields, c.run.handed...)...)
	setAll(to, c.headers)
	if host := to.Get("Host"); host != "" {
		out.Host = host
		to.Del("Host")
	}
}

// usualFields is the most fields that fill sets itself.
const usualFields = 6

// setAll sets fields in a head; several fields of one name are all kept, in their order.
func setAll(to exchange.Head, fields []exchange.Field) {
	for i, f := range fields {
		if slices.ContainsFunc(fields[:i], func(before exchange.Field) bool { return strings.EqualFold(before.Name, f.Name) }) {
			to.Add(f.Name, f.Value)
		} else {
			to.Set(f.Name, f.Value)
		}
	}
}
