package http1

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/field"
)

// mostInline is the most content that the goroutine of the request sends with the head: the system takes as much on an
// idle connection whether or not the endpoint reads.
const mostInline = 16 << 10

// send sends the head, with the content if that is small and available as a whole, and starts sending any other
// content.
func (r *round) send() error {
	length := contentLength(r.req)
	out, err := r.appendHead(r.room.out[:0], length)
	if err != nil {
		return err
	}
	inline := length == 0 || length > 0 && length <= mostInline && r.req.GetBody != nil && !expects(r.req)
	if inline && length > 0 {
		if out, err = appendContent(out, r.req.Body, int(length)); err != nil {
			return err
		}
	}
	r.room.out = out
	err = r.put(out, inline)
	sent := r.wrote == int64(len(out))
	r.whole = sent && inline
	switch {
	case err != nil:
		return err
	case sent && !inline:
		r.startFeed(length)
	case length != 0:
		closeContent(r.req)
	}
	return nil
}

// put sends out, on a link that is either fresh or quiet. If out is the whole request, the beginning of the answer may
// have arrived when put returns.
func (r *round) put(out []byte, whole bool) error {
	for r.reused {
		quiet, err := r.approach(out, whole)
		if err != nil {
			return err
		}
		if quiet {
			break
		}
		if err := r.another(); err != nil {
			return err
		}
	}
	if r.wrote == int64(len(out)) {
		return nil
	}
	return r.write(out)
}

// approach reports whether a kept link is quiet. If it is, and out is the whole request and the link can talk, approach
// has also sent out and received the beginning of the answer.
func (r *round) approach(out []byte, whole bool) (quiet bool, err error) {
	l, in := r.link, &r.room.in
	if !whole || !l.talk.isPossible() {
		return l.isQuiet(), nil
	}
	quiet, wrote, came, err := l.ask(out, in.b[:cap(in.b)])
	r.wrote, r.answered, in.b = int64(wrote), came > 0, in.b[:came]
	if err != nil {
		l.ended = true
		err = unexpected(err)
	}
	return quiet, err
}

// write sends what is left of out. It returns no error if a part of out was sent, because the endpoint may have
// answered before the connection ended.
func (r *round) write(out []byte) error {
	n, err := r.link.net.Write(out[r.wrote:])
	if r.wrote += int64(n); r.wrote > 0 {
		return nil
	}
	return err //nolint:wrapcheck // explain says what it was for
}

// appendContent appends length bytes of content that is in memory.
func appendContent(out []byte, content io.Reader, length int) ([]byte, error) {
	at := len(out)
	out = slices.Grow(out, length)[:at+length] // unlike an append of zeros, this writes nothing first
	if n, err := io.ReadFull(content, out[at:]); err != nil {
		return nil, fmt.Errorf("content of %d bytes instead of %d: %w", n, length, err)
	}
	return out, nil
}

// contentLength returns how long the content of a request is; -1 is unknown.
func contentLength(req *http.Request) int64 {
	switch {
	case !hasBody(req):
		return 0
	case req.ContentLength > 0 && len(req.Trailer) == 0:
		return req.ContentLength
	default:
		return unknown
	}
}

// expects reports whether a request waits to be asked for its content.
func expects(req *http.Request) bool {
	return strings.EqualFold(exchange.RequestHead(req).Get("Expect"), "100-continue")
}

var errNoRequest = errors.New("the request cannot be written")

// appendHead appends the head of the request, whose content has that length. If the method, URL, host or a field would
// be read as something else, it returns an error and nothing is sent.
func (r *round) appendHead(out []byte, length int64) ([]byte, error) {
	req := r.req
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	out = append(append(out, method...), ' ')
	at := len(out)
	out = appendTarget(out, req.URL)
	if !field.IsName(method) || !field.IsWord(out[at:]) {
		return nil, fmt.Errorf("%w: its method or its URL", errNoRequest)
	}
	out = append(out, " HTTP/1.1\r\nHost: "...)
	at = len(out)
	if req.Host != "" {
		out = append(out, req.Host...)
	} else {
		out = append(out, req.URL.Host...)
	}
	if !field.IsWord(out[at:]) {
		return nil, fmt.Errorf("%w: its host", errNoRequest)
	}
	out = append(out, "\r\n"...)
	out, ok := r.appendFields(out)
	if !ok {
		return nil, fmt.Errorf("%w: a field", errNoRequest)
	}
	return append(appendRequestFraming(out, req, length), "\r\n"...), nil
}

// appendTarget is URL.RequestURI without its allocations.
func appendTarget(out []byte, u *url.URL) []byte {
	if u.Opaque != "" {
		return append(out, u.RequestURI()...)
	}
	path := u.RawPath
	if path == "" || path != u.Path || !plainPath(path) { // otherwise it is written as it is
		path = u.EscapedPath()
	}
	if path == "" {
		path = "/"
	}
	out = append(out, path...)
	if u.ForceQuery || u.RawQuery != "" {
		out = append(append(out, '?'), u.RawQuery...)
	}
	return out
}

// appendFields appends the fields of a head, except those that isSaidOtherwise reports.
func (r *round) appendFields(out []byte) (_ []byte, ok bool) {
	lines := exchange.LinesOf(r.req.Header)
	if r.ordered = lines != nil; !r.ordered {
		return appendMap(out, r.req.Header)
	}
	for _, line := range lines.List() {
		if line == "" || saidOtherwise.Has(line.Known()) && isSaidOtherwise(line.Known(), line.Value()) {
			continue
		}
		if wire, ok := line.Wire(); ok {
			out = append(out, wire...)
		} else if out, ok = appendAsked(out, line.Name(), line.Value()); !ok {
			return nil, false
		}
	}
	return out, true
}

// appendMap is appendFields for an ordinary map.
func appendMap(out []byte, head http.Header) (_ []byte, ok bool) {
	for name, values := range head {
		for _, value := range values {
			if isSaidOtherwise(field.Know(name), value) {
				continue
			}
			if out, ok = appendAsked(out, name, value); !ok {
				return nil, false
			}
		}
	}
	return out, true
}

// saidOtherwise are the names that isSaidOtherwise acts on.
var saidOtherwise = field.SetOf(field.Host, field.Trailer, field.ContentLength, field.TransferEncoding, field.UserAgent)

// isSaidOtherwise reports whether a field is not written as it stands: framing and host are written separately, and an
// empty User-Agent is not written.
func isSaidOtherwise(known field.Known, value string) bool {
	switch known {
	case field.Host, field.Trailer, field.ContentLength, field.TransferEncoding:
		return true
	case field.UserAgent:
		return value == "" // net/http's way to send none
	default:
		return false
	}
}

// appendAsked appends a field of a request, and reports whether it is valid.
func appendAsked(out []byte, name, value string) ([]byte, bool) {
	if !field.IsName(name) || !field.IsValue([]byte(value)) {
		return nil, false
	}
	return appendLine(out, name, trimBlanks(value)), true
}

// appendRequestFraming appends the fields that say how the content ends.
func appendRequestFraming(out []byte, req *http.Request, length int64) []byte {
	switch {
	case length > 0:
		out = append(strconv.AppendInt(append(out, "Content-Length: "...), length, 10), "\r\n"...)
	case length == unknown:
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
		for _, name := range exchange.RequestTrailer(req).Names() {
			out = appendField(out, "Trailer", name)
		}
	case usuallyHasContent(req.Method):
		out = append(out, "Content-Length: 0\r\n"...)
	}
	if req.Close && !hasOption(exchange.RequestHead(req).Get("Connection"), "close") {
		out = append(out, "Connection: close\r\n"...)
	}
	return out
}

// usuallyHasContent reports whether servers want to know the length of a request with this method (RFC 9110 section
// 8.6).
func usuallyHasContent(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}
