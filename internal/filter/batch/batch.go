package batch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/filter"
)

// batch answers the batches of a route. It is safe for concurrent use.
type batch struct {
	config *Config
	group  string // its parts may only use this group's routes
	log    *slog.Logger
}

// said is the batch as the client sent it, before the guards of its own route have removed anything: the guards of the
// parts' routes check it again.
type said struct {
	request *http.Request // used only for what guards do not change
	fields  []exchange.Field
}

type saidKey struct{}

// guard records the request as the client sent it.
func (b *batch) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), saidKey{}, b.hear(r))))
	})
}

// hear returns what the parts of r take over from it.
func (b *batch) hear(r *http.Request) *said {
	s := &said{request: r}
	for name, value := range exchange.RequestHead(r).All() {
		if b.inherited(name) {
			s.fields = append(s.fields, exchange.Field{Name: name, Value: value})
		}
	}
	return s
}

// inherited tells whether parts get the batch's field of that name.
func (b *batch) inherited(name string) bool {
	return always(name) || along(name) || slices.ContainsFunc(b.config.Inherit, func(n string) bool { return strings.EqualFold(n, name) })
}

// RoundTrip implements http.RoundTripper: it runs the batch in r.
func (b *batch) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }() // it was read, or is not needed
	}
	s, _ := r.Context().Value(saidKey{}).(*said)
	x := exchange.Of(r)
	if s == nil || x.Entrance == nil {
		return nil, fault.Unexpected.New("", fault.Internal("a batch has come on a way on which none can"))
	}
	requests, err := b.requests(r)
	if err != nil {
		return nil, err
	}
	run := &run{batch: b, said: s, outer: x, r: r, parts: make([]part, len(requests))}
	run.left.Store(int64(b.config.Response))
	run.all(requests)
	if r.Context().Err() != nil {
		return nil, context.Cause(r.Context())
	}
	return run.response()
}

// requests reads the parts of a batch.
func (b *batch) requests(r *http.Request) ([]request, error) {
	switch {
	case exchange.Of(r).Inner:
		return nil, fault.NestedBatch.New("")
	case r.Method != http.MethodPost:
		return nil, fault.MethodNotAllowed.New("A batch is sent by POST.", fault.WithField("Allow", http.MethodPost))
	}
	media, _, _ := strings.Cut(exchange.RequestHead(r).Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(media), jsonType) { // pages of other sites cannot send this without a preflight
		return nil, fault.UnsupportedMedia.New("Send application/json.", fault.WithField("Accept", jsonType))
	}
	text, err := exchange.ReadDecoded(r, int64(b.config.Body))
	switch {
	case errors.Is(err, exchange.ErrTooLong):
		return nil, fault.BodyTooLarge.New(fmt.Sprintf("The body may have at most %d bytes.", b.config.Body))
	case err != nil:
		return nil, fmt.Errorf("read the batch: %w", err)
	}
	requests, f := b.read(text)
	if f != nil {
		return nil, f
	}
	return requests, nil
}

// run is one batch in progress.
type run struct {
	*batch

	said  *said
	outer *exchange.Exchange // only read
	r     *http.Request
	parts []part
	left  atomic.Int64 // bytes left for the bodies of responses
}

// all runs every part. Parts that wait for nothing start in their order. When all returns, none is running.
func (n *run) all(requests []request) {
	n.outer.RequestID() // from here on it has one, also for parts that run at the same time
	finished := make(chan int)
	for i := range requests {
		n.parts[i].request = &requests[i]
	}
	for open, begun := 0, make([]bool, len(requests)); ; open-- {
		for i := range n.parts {
			if open == n.config.Parallel {
				break
			}
			if !begun[i] && n.may(i) {
				begun[i] = true
				open++
				go func() {
					n.part(i)
					finished <- i
				}()
			}
		}
		if open == 0 {
			return
		}
		n.parts[<-finished].done = true
	}
}

// may tells whether a part may begin, which is when all parts that it depends on have succeeded. If one of those has
// failed, the part fails, too.
func (n *run) may(i int) bool {
	p := &n.parts[i]
	if p.done {
		return false
	}
	for _, at := range p.depends {
		switch before := &n.parts[at]; {
		case !before.done:
			return false
		case before.status >= http.StatusBadRequest:
			p.fail(filter.FailedPart(before.id), n.id(i))
			p.done = true
			return false
		}
	}
	return true
}

// id is the id of a part's own request, which logs contain.
func (n *run) id(i int) string { return n.outer.RequestID() + "." + strconv.Itoa(i+1) }

// response assembles the responses of the parts.
func (n *run) response() (*http.Response, error) {
	body := []byte(`{"responses":[`)
	for i := range n.parts {
		if i > 0 {
			body = append(body, ',')
		}
		body = n.parts[i].append(body)
		n.parts[i] = part{} // so that it is not held in memory twice
	}
	body = append(body, "]}"...)
	res := exchange.NewResponse(n.r, http.StatusOK,
		exchange.Field{Name: "Content-Type", Value: jsonType}, exchange.Field{Name: "Cache-Control", Value: "no-store"},
		exchange.Field{Name: "Content-Length", Value: strconv.Itoa(len(body))})
	res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return res, nil
}

// append writes a part's response.
func (p *part) append(b []byte) []byte {
	b = jsonx.AppendString(append(b, `{"id":`...), p.id)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(p.status), 10)
	b = append(b, `,"headers":{`...)
	for i, f := range p.head {
		if i > 0 {
			b = append(b, ',')
		}
		b = jsonx.AppendString(b, f.Name)
		b = jsonx.AppendString(append(b, ':'), f.Value)
	}
	b = append(b, '}')
	if len(p.content) > 0 {
		b = append(append(b, `,"body":`...), p.content...)
	}
	return append(b, '}')
}
