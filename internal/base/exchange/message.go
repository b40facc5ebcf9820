package exchange

import (
	"bufio"
	"context"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"sync"

	"golang.org/x/net/http/httpguts"

	"github.com/weir-gateway/weir/internal/base/poison"
)

// This file connects messages with their heads: no other code of Weir's own looks into r.Header, res.Header, their
// Trailer or a writer's Header (internal/house lists the places at the borders that have to).

// MapHead returns the Head of a header map: the Lines, if the map stands for any. Changes are made to the map.
func MapHead(h http.Header) Head {
	if len(h) == 0 { // as most trailers are
		return mapHead(h)
	}
	if l := LinesOf(h); l != nil {
		return l
	}
	return mapHead(h)
}

// RequestHead returns the head of r.
func RequestHead(r *http.Request) Head {
	if c, ok := r.Context().(*RequestContext); ok && c.head.are(r.Header) {
		return c.head
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	return MapHead(r.Header)
}

// ResponseHead returns the head of res.
func ResponseHead(res *http.Response) Head {
	if b, ok := res.Body.(Lent); ok { // it knows the Lines without a look into the map
		if l := b.Head(); l.are(res.Header) {
			return l
		}
	}
	if res.Header == nil {
		res.Header = http.Header{}
	}
	return MapHead(res.Header)
}

// RequestTrailer returns the trailer section of r: the announced names and, once the body was read to its end, the
// fields that arrived. To send trailers, begin with AnnounceTrailers.
func RequestTrailer(r *http.Request) Head { return MapHead(r.Trailer) }

// ResponseTrailer returns the trailer section of res, as RequestTrailer does.
func ResponseTrailer(res *http.Response) Head { return MapHead(res.Trailer) }

// AnnounceTrailers tells the backend of r which fields will follow the body. Their values are set in RequestTrailer
// when the body ends; fields without a value are then deleted.
func AnnounceTrailers(r *http.Request, names []string) {
	r.Trailer = newHeader(r.Header, len(names))
	l := LinesOf(r.Trailer)
	for _, name := range names {
		if l != nil {
			l.Add(name, "")
		} else {
			r.Trailer[textproto.CanonicalMIMEHeaderKey(name)] = nil
		}
	}
}

// NewHead makes an empty head of the kind that the engine of r uses.
func NewHead(r *http.Request) Head { return MapHead(newHeader(r.Header, usualFields)) }

// OwnHead gives r a copy of its head that no other request shares.
func OwnHead(r *http.Request) Head {
	shared := RequestHead(r)
	r.Header = newHeader(r.Header, shared.Len()+usualFields)
	own := MapHead(r.Header)
	CopyAll(own, shared)
	return own
}

// NewRequest makes a request to a backend on behalf of r: HTTP/1.1, with no body and an empty head of the same kind as
// r's. A nil r stands for a request of net/http's engine. The caller sets method, URL and host.
func NewRequest(ctx context.Context, r *http.Request) *http.Request {
	if r == nil {
		return NewRequestOf(ctx, r, usualFields)
	}
	return NewRequestOf(ctx, r, MapHead(r.Header).Len()+usualFields)
}

// NewRequestOf is NewRequest with capacity for this many fields, instead of for those of r.
func NewRequestOf(ctx context.Context, r *http.Request, fields int) *http.Request {
	if r == nil {
		r = &http.Request{}
	}
	return (&http.Request{
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: newHeader(r.Header, fields), Body: http.NoBody,
	}).WithContext(ctx)
}

// Loan is a request to a backend whose memory is reused. The zero value is ready for Make. A Loan must not be copied.
type Loan struct {
	Request http.Request
	URL     url.URL // for Request.URL

	head  Lines
	plain bool // it has a map of its own instead of head, and is not reused
}

var loans = sync.Pool{New: func() any { return new(Loan) }} // reused memory

// Lend is NewRequest for callers that know when nothing holds the request any more. A caller that does not know leaves
// the loan to the garbage collector. in is the head of r.
func Lend(ctx context.Context, r *http.Request, in Head) *Loan {
	l, _ := loans.Get().(*Loan)
	l.Make(ctx, r, in)
	return l
}

// blank is what all requests to backends have in common.
var blank = http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody}

// Make is Lend for a caller that has the memory.
func (l *Loan) Make(ctx context.Context, r *http.Request, in Head) {
	if _, ordered := in.(*Lines); !ordered {
		l.Request, l.plain = *NewRequest(ctx, r), true
		return
	}
	if l.Request.Context() == ctx { // as for the request before; Carry overwrites its other fields
		Carry(&l.Request, &blank)
		l.Request.URL = nil
	} else {
		l.Request = *blank.WithContext(ctx)
	}
	l.Request.Header = l.head.Renew()
}

// Head returns the head of the request.
func (l *Loan) Head() Head {
	if l.plain {
		return RequestHead(&l.Request)
	}
	return &l.head
}

// GiveBack ends a loan made by Lend. It may be called once Release has reported that nothing holds the request.
func (l *Loan) GiveBack() {
	if l.End() && !poison.On {
		l.Request = http.Request{} // the next request has another context
		loans.Put(l)
	}
}

// End ends a loan, and reports whether its memory may be reused. If poison.On is set, the caller must not reuse it in
// any case. End may be called once Release has reported that nothing holds the request.
func (l *Loan) End() (again bool) {
	if l.plain || l.head.IsPlain() {
		return false
	}
	l.head.Forget()
	Drop(&l.Request, &l.URL)
	return true
}

// Carry fills out with what is sent for req: the fields of a request that clients use, and none that a server has set.
// Context and URL are out's own. Copying the whole request would copy mostly unused fields, and copy them twice.
func Carry(out, req *http.Request) {
	out.Method, out.Host = req.Method, req.Host
	out.Proto, out.ProtoMajor, out.ProtoMinor = req.Proto, req.ProtoMajor, req.ProtoMinor
	out.Header, out.Trailer = req.Header, req.Trailer
	out.Body, out.GetBody = req.Body, req.GetBody
	out.ContentLength, out.TransferEncoding = req.ContentLength, req.TransferEncoding
	out.Close = req.Close
}

// Drop clears what Carry has set in out, except numbers, and its URL u. If poison.On is set, both are overwritten
// completely.
func Drop(out *http.Request, u *url.URL) {
	if poison.On {
		poison.URL(u)
		poison.Request(out)
		return
	}
	*u = url.URL{}
	out.Method, out.Host, out.Proto = "", "", ""
	out.Header, out.Trailer, out.TransferEncoding = nil, nil, nil
	out.Body, out.GetBody = nil, nil
}

// Lent is the body of a response that a client makes from reused memory.
type Lent interface {
	io.WriterTo

	// Whole reports whether all of it has arrived, so that reading it never waits.
	Whole() bool
	// ReadAtOnce reads what has arrived of content of a known length. It returns 0 if nothing has arrived or this
	// cannot be determined; a Read then waits, or reports that nothing more comes. ReadAtOnce never reports the end.
	ReadAtOnce(p []byte) int
	// Head returns the Lines that are the response's head; nil if the head is not Lines or this is no longer known.
	Head() *Lines
}

// Release declares that nothing uses res any more, neither its head nor its body, which was read to its end. It reports
// whether nothing holds its request either. That is only so if the response came from a client that says so, and no
// code has put another body in its place.
func Release(res *http.Response) (request bool) {
	b, ok := res.Body.(interface{ Release() (request bool) })
	return ok && b.Release()
}

// NewResponse makes a response to r that has these fields (see SetFields) and no body. Its head is of the same kind as
// r's.
func NewResponse(r *http.Request, status int, fields ...Field) *http.Response {
	res := &http.Response{
		StatusCode: status, Status: strconv.Itoa(status) + " " + http.StatusText(status),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: newHeader(r.Header, len(fields)+1), Body: http.NoBody, Request: r,
	}
	SetFields(MapHead(res.Header), fields...)
	return res
}

// usualFields is capacity for what Weir itself adds to a head.
const usualFields = 8

// newHeader makes a map of the same kind as like.
func newHeader(like http.Header, fields int) http.Header {
	if LinesOf(like) != nil {
		return NewLines(fields).Map()
	}
	return make(http.Header, fields)
}

// Plain turns the head and the trailers of r into maps that hold the fields themselves, for code that looks there:
// net/http's own, and third-party code. Order and spelling are lost, and a Head obtained before must no longer be used.
// Maps that are plain already are not touched.
func Plain(r *http.Request) {
	plain(r.Header)
	plain(r.Trailer)
}

// Header returns the map of the response to come, as http.ResponseWriter demands. It is for third-party code: Weir's
// own uses Head.
func (w *Writer) Header() http.Header {
	h := w.w.Header()
	plain(h)
	return h
}

// Head returns the head of the response to come.
func (w *Writer) Head() Head {
	if w.lines != nil && !w.lines.IsPlain() {
		return w.lines
	}
	return headOf(w.w)
}

func headOf(w http.ResponseWriter) Head { return MapHead(w.Header()) }

// linesOf returns the Lines of the response to r that is to come, nil if it has an ordinary map.
func linesOf(w http.ResponseWriter, r *http.Request) *Lines {
	h := w.Header()
	if c, ok := r.Context().(*RequestContext); ok && c.reply.are(h) {
		return c.reply
	}
	return LinesOf(h)
}

// AddTrailer appends a line to the trailer section, which follows the last byte of the body. If the field was announced
// in Trailer, every client learns of it in time.
func (w *Writer) AddTrailer(name, value string) {
	h := w.w.Header()
	if LinesOf(h) == nil {
		name = textproto.CanonicalMIMEHeaderKey(name)
		delete(h, name) // net/http would repeat an announced field of the head
	}
	MapHead(h).Add(http.TrailerPrefix+name, value)
}

// leaveUntyped keeps net/http from guessing a Content-Type from the first bytes: a gateway passes on what the backend
// said, and the backend said nothing.
func leaveUntyped(w http.ResponseWriter) {
	if h := w.Header(); len(h["Content-Type"]) == 0 {
		h["Content-Type"] = nil
	}
}

// writeHints writes a 1xx response. Its head replaces the final one in w meanwhile.
func writeHints(w http.ResponseWriter, status int, head Head) {
	h := w.Header()
	if l := LinesOf(h); l != nil {
		saved := l.list
		l.list = nil
		CopyAll(l, head)
		w.WriteHeader(status)
		l.list = saved
		return
	}
	saved := h.Clone()
	clear(h)
	CopyAll(mapHead(h), head)
	// If this field is present, net/http leaves it out of a 1xx response, and its HTTP/2 server works on a copy.
	// Otherwise that server may still be reading the map when a reset of the stream has made WriteHeader return.
	h.Set("Content-Length", "0")
	w.WriteHeader(status)
	clear(h)
	maps.Copy(h, saved)
}

// writeFields writes the fields in their order. A map has no order; its fields are written sorted by name.
func writeFields(out *bufio.Writer, head Head) {
	if m, ok := head.(mapHead); ok {
		_ = http.Header(m).Write(out) // a bufio.Writer keeps its first error
		return
	}
	for name, value := range head.All() {
		if httpguts.ValidHeaderFieldName(name) && httpguts.ValidHeaderFieldValue(value) {
			_, _ = out.WriteString(name + ": " + value + "\r\n")
		}
	}
}

// Nowhere returns a response writer that keeps the head and nothing else, for rehearsals.
func Nowhere() http.ResponseWriter { return nowhere{} }

type nowhere http.Header

func (w nowhere) Header() http.Header         { return http.Header(w) }
func (w nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (w nowhere) WriteHeader(int)             {}

// Printing returns a response writer for use without a connection. It calls head for each head, including those of 1xx
// responses, and writes the body to out as it arrives.
func Printing(out io.Writer, head func(status int, fields Head)) http.ResponseWriter {
	return &printing{out: out, head: head, header: http.Header{}}
}

type printing struct {
	out    io.Writer
	head   func(status int, fields Head)
	header http.Header
	begun  bool
}

func (w *printing) Header() http.Header { return w.header }

func (w *printing) WriteHeader(status int) {
	if !w.begun {
		w.begun = status >= http.StatusOK || status == http.StatusSwitchingProtocols
		w.head(status, MapHead(w.header))
	}
}

func (w *printing) Write(p []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.out.Write(p)
}

// Flush implements http.Flusher: everything has been written already.
func (w *printing) Flush() {}
