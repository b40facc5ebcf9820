package http1

import (
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/field"
)

// receive reads heads until the final one. Those of 1xx responses are passed on.
func (r *round) receive() error {
	limits := r.client.options.Limits
	for {
		var h ResponseHead
		end, err := r.receiveHead(&h, limits)
		if err != nil {
			return err
		}
		head := r.room.in.b[:end]
		r.room.in.skip(end)
		if h.Status >= http.StatusOK || h.Status == http.StatusSwitchingProtocols {
			r.feed.tell(false)
			r.take(&h, head)
			return nil
		}
		if limits.HeadBytes -= end; limits.HeadBytes <= 0 {
			return exchange.ErrHintsTooLong
		}
		r.inform(h.Status)
	}
}

// receiveHead receives until the received bytes begin with a complete head, parses it and returns its length. Nearly
// every head comes in one piece, and is looked at once; for others the end is searched for first.
func (r *round) receiveHead(h *ResponseHead, limits Limits) (int, error) {
	var s search
	in := &r.room.in
	searches := false
	for {
		end, reason := 0, OK
		if searches {
			end, reason = s.endOfResponse(in.b)
		}
		if reason == OK && (end > 0 || !searches) {
			end, reason = h.parse(in.b[:min(len(in.b), limits.HeadBytes)], limits, &r.link.gather)
		}
		switch {
		case reason != OK:
			return 0, invalidError{reason}
		case end > 0:
			return end, nil
		case len(in.b) > limits.HeadBytes:
			return 0, invalidError{HeadTooLarge}
		}
		searches = len(in.b) > 0
		n, err := in.fill(r.link)
		r.answered = r.answered || n > 0
		if n == 0 && err != nil {
			return 0, unexpected(err)
		}
	}
}

// inform passes a 1xx response on to the client. 100 is not for the endpoint to send: the client gets it when its
// content is first read.
func (r *round) inform(status int) {
	if status == http.StatusContinue {
		r.feed.tell(true)
		return
	}
	x := exchange.From(r.ctx)
	if x == nil || x.Informational == nil {
		return
	}
	head := exchange.NewHead(r.req)
	for _, line := range r.link.gather.all() {
		head.Add(line.Name(), line.Value())
	}
	x.Informational.Inform(status, head)
}

// take makes the response from its head. Nothing of b is used afterwards.
func (r *round) take(h *ResponseHead, b []byte) {
	line, _ := cutAt(b, '\r')
	res := &r.res
	res.Proto, res.ProtoMajor, res.ProtoMinor = version11, 1, int(h.Minor)
	if h.Minor == 0 {
		res.Proto = version10
	}
	res.StatusCode, res.Status = h.Status, r.link.statusOf(line[len(version11)+1:])
	res.Request, res.TLS = r.req, r.link.tls
	r.rest = r.client.options.Idle
	said := r.takeFields(h)
	r.link.gather.lighten(len(b))
	res.Close = said.close || h.Minor == 0 && !said.keeps
	r.framing, r.left = h.Framing(r.req.Method), h.Length
	res.ContentLength = lengthOf(h, r.req.Method, r.framing)
	if h.Chunked {
		res.TransferEncoding = chunkedOnly
		if r.framing == ByChunks {
			res.Trailer = announced(said.trailer, r.ordered)
		}
	}
	r.keeps = !res.Close && !r.req.Close && r.framing != ByClose
	r.late = res.StatusCode == http.StatusRequestTimeout && res.Close && r.reused
	switch {
	case h.Status == http.StatusSwitchingProtocols:
		res.Body = r.openTunnel()
		return
	case r.framing == NoContent:
		r.err, r.held = io.EOF, true
		r.release(r.keeps)
	default:
		r.held = r.framing == ByLength && int64(len(r.room.in.b)) >= r.left
	}
	res.Body = r.lend()
}

// lengthOf returns the length that a response declares for its content, or for the content that a GET would have got;
// -1 is unknown.
func lengthOf(h *ResponseHead, method string, framing Framing) int64 {
	switch {
	case framing == NoContent && method != http.MethodHead:
		return 0
	default:
		return h.Length
	}
}

// takeFields gives the response its head, as lines if the request has lines, and returns what the head tells the client
// itself.
func (r *round) takeFields(h *ResponseHead) (said marks) {
	lines := r.link.gather.all()
	if r.ordered {
		r.res.Header = r.head.Renew()
		for _, line := range lines {
			if line.Known() == field.Other || r.see(&said, line, h) {
				r.head.Append(line)
			}
		}
		return said
	}
	r.res.Header = make(http.Header, len(lines))
	for _, line := range lines {
		if r.see(&said, line, h) {
			addTo(r.res.Header, line)
		}
	}
	return said
}

// see records what a field says, and reports whether it stays in the head.
func (r *round) see(said *marks, line field.Line, h *ResponseHead) (stays bool) {
	switch line.Known() {
	case field.Trailer:
		if h.Chunked {
			said.trailer += "," + line.Value()
			return false
		}
	case field.Connection:
		said.connects(line.Value())
	case field.KeepAlive:
		if d, ok := KeepAlive(line.Value()); ok {
			r.rest = min(r.rest, d)
		}
	case field.TransferEncoding:
		return false
	default:
	}
	return true
}

// emptyTrailer makes an empty trailer section.
func emptyTrailer(ordered bool) http.Header {
	if ordered {
		return exchange.NewLines(0).Map()
	}
	return http.Header{}
}

// announced makes the trailer section of a message from the names in its Trailer fields, nil if they name none.
func announced(names string, ordered bool) http.Header {
	if names == "" {
		return nil
	}
	section := emptyTrailer(ordered)
	head := exchange.MapHead(section)
	for name := range strings.SplitSeq(names, ",") {
		name = textproto.TrimString(name)
		switch {
		case !field.IsName(name) || !mayTrail([]byte(name)):
		case ordered:
			head.Add(name, "")
		default:
			section[textproto.CanonicalMIMEHeaderKey(name)] = nil
		}
	}
	if head.Len() == 0 {
		return nil
	}
	return section
}

// margin is how much earlier than the endpoint the client closes an unused connection, so that a request sent on it
// arrives before the endpoint closes it.
const margin = time.Second

// KeepAlive returns how long a connection may be unused according to the Keep-Alive field of a response (RFC 2068
// section 19.7.1.1, as the usual servers send it: `timeout=5, max=100`), and whether the field says so.
func KeepAlive(value string) (time.Duration, bool) {
	for part := range strings.SplitSeq(value, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if !strings.EqualFold(name, "timeout") {
			continue
		}
		seconds, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return 0, false
		}
		timeout := time.Duration(seconds) * time.Second
		return max(timeout-margin, timeout/2), true
	}
	return 0, false
}
