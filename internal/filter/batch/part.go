package batch

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/base/jsonx"
)

// part is a part with its result. Only one goroutine uses it at a time.
type part struct {
	*request

	done    bool
	status  int
	head    []exchange.Field // each name once, sorted
	content []byte           // JSON; empty: none
}

// part runs one part as if the client had sent it as a separate request.
func (n *run) part(i int) {
	p := &n.parts[i]
	r := n.said.inner(n.r, p.request)
	rec := &recorder{run: n}
	end := n.trace(r)
	rec.record(func(w http.ResponseWriter) {
		n.outer.Entrance.Enter(w, r, exchange.Within{Of: n.outer, ID: n.id(i), Group: n.group})
	})
	if f := rec.problem(p.method); f != nil {
		p.fail(f, n.id(i))
	} else {
		p.status, p.head, p.content = rec.status, rec.head, rec.content
	}
	end(exchange.Attempt{Status: p.status})
}

// inner makes the request of a part of the batch in outer.
func (s *said) inner(outer *http.Request, p *request) *http.Request {
	r := exchange.NewRequest(outer.Context(), outer)
	r.Method, r.URL, r.RequestURI = p.method, p.url, p.target
	r.Host, r.RemoteAddr, r.TLS = exchange.Of(outer).Client.Host, s.request.RemoteAddr, s.request.TLS
	if p.body != nil {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(p.body)), int64(len(p.body))
	}
	head := exchange.RequestHead(r)
	for _, f := range s.fields {
		if !slices.ContainsFunc(p.fields, func(own exchange.Field) bool { return strings.EqualFold(own.Name, f.Name) }) {
			head.Add(f.Name, f.Value)
		}
	}
	for _, f := range p.fields {
		head.Add(f.Name, f.Value)
	}
	return r
}

// trace begins a span in the batch's trace, for r.
func (n *run) trace(r *http.Request) (end func(exchange.Attempt)) {
	if n.outer.Trace == nil {
		return func(exchange.Attempt) {}
	}
	return n.outer.Trace.Call(exchange.Call{Method: r.Method, Backend: "batch", URL: r.URL.Path, Head: exchange.RequestHead(r)})
}

// fail makes a problem the response of a part.
func (p *part) fail(f *fault.Fault, id string) {
	a := f.Answer(fault.Context{RequestID: id})
	p.status, p.content, p.head = a.Status, bytes.TrimSpace(a.Body), nil
	for _, field := range a.Fields {
		if told(field.Name) {
			p.head = append(p.head, field)
		}
	}
	slices.SortFunc(p.head, byName)
}

// told tells whether a part's response includes a field. Cookies are excluded: a script that reads the batch could read
// what only the browser should.
func told(name string) bool {
	return !forward.Managed(name) && !strings.EqualFold(name, "Set-Cookie")
}

// recorder records the response of a part.
type recorder struct {
	run *run

	status  int
	head    []exchange.Field
	body    bytes.Buffer
	full    bool // the body was larger than the room for it
	ended   any  // what the handler panicked with, nil if it returned
	content []byte
}

var errFull = errors.New("the bodies of all parts together are larger than the batch may have")

// record calls serve. A panic in it ends only this part.
func (c *recorder) record(serve func(http.ResponseWriter)) {
	defer func() { c.ended = recover() }()
	serve(exchange.Printing(c, c.begin))
}

// begin records the head of a response; those of 1xx responses are dropped.
func (c *recorder) begin(status int, head exchange.Head) {
	if status < http.StatusOK {
		return
	}
	c.status = status
	defer func() { slices.SortFunc(c.head, byName) }()
	for name, value := range head.All() {
		if !told(name) {
			continue
		}
		if at := slices.IndexFunc(c.head, func(f exchange.Field) bool { return strings.EqualFold(f.Name, name) }); at >= 0 {
			c.head[at].Value += ", " + value
		} else {
			c.head = append(c.head, exchange.Field{Name: name, Value: value})
		}
	}
}

// byName sorts fields, so that equal responses give equal text, however their fields were stored.
func byName(a, b exchange.Field) int { return strings.Compare(a.Name, b.Name) }

// Write records a piece of the body, within the room that all parts share.
func (c *recorder) Write(p []byte) (int, error) {
	if c.run.left.Add(-int64(len(p))) < 0 {
		c.full = true
		return 0, errFull
	}
	return c.body.Write(p) //nolint:wrapcheck // it never fails
}

// problem returns why the recording is not a valid response. If it is valid, problem returns nil, after converting the
// body to its form in a batch.
func (c *recorder) problem(method string) *fault.Fault {
	switch {
	case c.ended != nil && c.ended != http.ErrAbortHandler: //nolint:errorlint // the very value, as net/http compares it
		c.run.log.Error("panic in a part of a batch", "request_id", c.run.outer.RequestID(), "panic", fmt.Sprint(c.ended))
		return fault.Unexpected.New("")
	case c.full:
		return fault.BatchPartFailed.New("The bodies of all parts together are larger than the batch may have.")
	case c.ended != nil || c.status == 0:
		return fault.BatchPartFailed.New("The response was cut off.")
	case c.body.Len() == 0 || method == http.MethodHead:
		return nil
	}
	text := c.body.Bytes()
	kind := asBase64
	if media, coding := c.field("Content-Type"), c.field("Content-Encoding"); media != "" && coding == "" {
		kind = kindOf(media)
	}
	switch {
	case kind == asJSON:
		if _, err := jsonx.Parse(text, jsonx.Options{MaxBytes: int(mostResponse)}); err != nil {
			return fault.BatchPartFailed.New("The response says that it is JSON, and is none.", fault.Cause(err))
		}
		c.content = bytes.Trim(text, " \t\r\n")
	case kind == asText && utf8.Valid(text):
		c.content = jsonx.AppendString(nil, string(text))
	default:
		c.content = jsonx.AppendString(nil, base64.StdEncoding.EncodeToString(text))
	}
	return nil
}

func (c *recorder) field(name string) string {
	for _, f := range c.head {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}
