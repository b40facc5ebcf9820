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

// This is where messages and their heads meet: no other code of Weir's own looks into r.Header, res.Header, their
// Trailer or a writer's Header (internal/house lists the borders that have to).

// MapHead returns the Head of a header map, which is its Lines if it stands for any; changes go to the map.
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
	if b, ok := res.Body.(Lent); ok { // which knows it without a map lookup
		if l := b.Head(); l.are(res.Header) {
			return l
		}
	}
	if res.Header == nil {
		res.Header = http.Header{}
	}
	return MapHead(res.Header)
}

// RequestTrailer returns the trailer section of r: the announced names, and once the body was read to its end, what
// came. To send one, begin with AnnounceTrailers.
func RequestTrailer(r *http.Request) Head { return MapHead(r.Trailer) }

// ResponseTrailer returns the trailer section of res, as RequestTrailer does.
func ResponseTrailer(res *http.Response) Head { return MapHead(res.Trailer) }

// AnnounceTrailers tells the backend of r which fields will come after the body. They get their values in
// RequestTrailer when the body ends; those that have none then are deleted.
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

// NewHead makes an empty head of the kind that the engine of r has.
func NewHead(r *http.Request) Head { return MapHead(newHeader(r.Header, usualFields)) }

// OwnHead gives r a copy of its head, which no other request shares.
func OwnHead(r *http.Request) Head {
	shared := RequestHead(r)
	r.Header = newHeader(r.Header, shared.Len()+usualFields)
	own := MapHead(r.Header)
	CopyAll(own, shared)
	return own
}

// NewRequest makes a request to a backend on behalf of r: HTTP/1.1, with no body and
// an empty head of the same kind as r's; nil stands for a request of net/http's engine. The
// caller sets method, URL and host.
func NewRequest(ctx context.Context, r *http.Request) *http.Request {
	if r == nil {
		return NewRequestOf(ctx, r, usualFields)
	}
	return NewRequestOf(ctx, r, MapHead(r.Header).Len()+usualFields)
}

// NewRequestOf is NewRequest with room for that many fields, for a request that does not take those of r.
func NewRequestOf(ctx context.Context, r *http.Request, fields int) *http.Request {
	if r == nil {
		r = &http.Request{}
	}
	return (&http.Request{
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: newHeader(r.Header, fields), Body: http.NoBody,
	}).WithContext(ctx)
}

// Loan is a request to a backend whose memory is reused. The zero value is ready for Make; it must not be copied.
type Loan struct {
	Request http.Request
	URL     url.URL // for Request.URL

	head  Lines
	plain bool // it has a map of its own in place of head, and is not reused
}

var loans = sync.Pool{New: func() any { return new(Loan) }} // reused memory

// Lend is NewRequest for callers that know when nobody has the request any more. Other callers leave the loan to the
// garbage collector. in is the head of r.
func Lend(ctx context.Context, r *http.Request, in Head) *Loan {
	l, _ := loans.Get().(*Loan)
	l.Make(ctx, r, in)
	return l
}

// blank is what every request to a backend has.
var blank = http.Request{Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody}

// Make is Lend for a caller that has the memory.
func (l *Loan) Make(ctx context.Context, r *http.Request, in Head) {
	if _, ordered := in.(*Lines); !ordered {
		l.Request, l.plain = *NewRequest(ctx, r), true
		return
	}
	if l.Request.Context() == ctx { // as that of the previous request was; Carry overwrites that request
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

// GiveBack ends a loan of Lend. It may be called if Release has said that nobody has the request.
func (l *Loan) GiveBack() {
	if l.End() && !poison.On {
		l.Request = http.Request{} // the next request has another context
		loans.Put(l)
	}
}

// End ends a loan, and reports whether its memory may be reused, which the caller must not do if poison.On. It may be
// called if Release has said that nobody has the request.
func (l *Loan) End() (again bool) {
	if l.plain || l.head.IsPlain() {
		return false
	}
	l.head.Forget()
	Drop(&l.Request, &l.URL)
	return true
}

// Carry makes out the request that is sent for req: it takes what clients send of a request, and nothing that a server
// has recorded about it. Context and URL are out's own. Copying the whole request would leave most of the copy unused
// and copy it twice.
func Carry(out, req *http.Request) {
	out.Method, out.Host = req.Method, req.Host
	out.Proto, out.ProtoMajor, out.ProtoMinor = req.Proto, req.ProtoMajor, req.ProtoMinor
	out.Header, out.Trailer = req.Header, req.Trailer
	out.Body, out.GetBody = req.Body, req.GetBody
	out.ContentLength, out.TransferEncoding = req.ContentLength, req.TransferEncoding
	out.Close = req.Close
}

// Drop clears what Carry has given to out, except for numbers, and its URL u. If poison.On, it overwrites all of both.
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

// Lent is the body of a response that a client makes from memory that is reused.
type Lent interface {
	io.WriterTo

	// Whole reports whether all of the body has come, so that no one waits for it.
	Whole() bool
	// ReadAtOnce returns what has come of content of a known length, and 0 if nothing has, or that cannot be found out:
	// a Read then waits, or says that nothing comes. It never reports the end.
	ReadAtOnce(p []byte) int
	// Head returns the lines of the response's head, if it has lines; nil once they are no longer known.
	Head() *Lines
}

// Release says that nobody uses res any more, neither its head nor its body, which was read to its end. It reports
// whether nobody has its request either. This is so if the response came from a client that says so, and no one has put
// another body in its place.
func Release(res *http.Response) (request bool) {
	b, ok := res.Body.(interface{ Release() (request bool) })
	return ok && b.Release()
}

// NewResponse makes a response to r that has those fields (see SetFields) and no body; its head is of the same kind as
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

// usualFields is room for what Weir itself adds to a head.
const usualFields = 8

// newHeader makes a map of the same kind as like.
func newHeader(like http.Header, fields int) http.Header {
	if LinesOf(like) != nil {
		return NewLines(fields).Map()
	}
	return make(http.Header, fields)
}

// Plain makes the head and the trailers of r maps that hold the fields themselves, for code that looks there:
// net/http's own and third-party code. Order and spelling are lost, and a Head that was obtained before is no longer
// valid. Maps that are already plain are not touched.
func Plain(r *http.Request) {
	plain(r.Header)
	plain(r.Trailer)
}

// Header returns the map of the response to come, as http.ResponseWriter requires. It is for third-party code: Weir's
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

// linesOf returns the lines of the response to r that is to come, nil if it has a map.
func linesOf(w http.ResponseWriter, r *http.Request) *Lines {
	h := w.Header()
	if c, ok := r.Context().(*RequestContext); ok && c.reply.are(h) {
		return c.reply
	}
	return LinesOf(h)
}

// AddTrailer appends a line to the trailer section, after the last byte of the body. If the field was announced in
// Trailer, every client learns of it in time.
func (w *Writer) AddTrailer(name, value string) {
	h := w.w.Header()
	if LinesOf(h) == nil {
		name = textproto.CanonicalMIMEHeaderKey(name)
		delete(h, name) // net/http would repeat an announced field of the head
	}
	MapHead(h).Add(http.TrailerPrefix+name, value)
}

// leaveUntyped keeps net/http from guessing a Content-Type from the first bytes: a gateway passes on what the backend
// said, and that was nothing.
func leaveUntyped(w http.ResponseWriter) {
	if h := w.Header(); len(h["Content-Type"]) == 0 {
		h["Content-Type"] = nil
	}
}

// writeHints writes a 1xx response: its head stands in for the final one meanwhile.
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
	// With this field, net/http leaves it out of a 1xx response, and its HTTP/2 server works on a copy. Without it,
	// that server may still be reading the map when a reset of the stream has let WriteHeader return.
	h.Set("Content-Length", "0")
	w.WriteHeader(status)
	clear(h)
	maps.Copy(h, saved)
}

// writeFields writes the fields in their order, or by name if they are in a map, which has no order.
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

// Nowhere makes a response writer that keeps the head and nothing else, for
// rehearsals.
func Nowhere() http.ResponseWriter { return nowhere{} }

type nowhere http.Header

func (w nowhere) Header() http.Header         { return http.Header(w) }
func (w nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (w nowhere) WriteHeader(int)             {}

// Printing makes a response writer for use without a connection: head is called with each head, including those of 1xx
// responses, and the body goes to out as it comes.
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

// Flush implements http.Flusher: everything is already written.
func (w *printing) Flush() {}
