package http1

import (
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// receive reads heads until the final one. Those of 1xx responses are passed on.
func (r *round) receive() error {
	limits := r.client.options.Limits
	for {
		end, err := r.receiveHead(limits.HeadBytes)
		if err != nil {
			return err
		}
		b := r.room.in.b[:end]
		var h ResponseHead
		if reason := h.Parse(b, limits); reason != OK {
			return invalidError{reason}
		}
		text := string(b) // all that the strings of the response are parts of
		r.room.in.skip(end)
		if h.Status >= http.StatusOK || h.Status == http.StatusSwitchingProtocols {
			r.feed.tell(false)
			r.take(&h, text)
			return nil
		}
		if limits.HeadBytes -= end; limits.HeadBytes <= 0 {
			return exchange.ErrHintsTooLong
		}
		r.inform(h.Status, text)
	}
}

// receiveHead receives until a whole head lies at the beginning of what came, and gives its
// length.
func (r *round) receiveHead(most int) (int, error) {
	var s search
	in := &r.room.in
	for {
		end, reason := s.endOfResponse(in.b)
		switch {
		case reason != OK:
			return 0, invalidError{reason}
		case end > most, end == 0 && len(in.b) > most:
			return 0, invalidError{HeadTooLarge}
		case end > 0:
			return end, nil
		}
		n, err := in.fill(r.link)
		r.answered = r.answered || n > 0
		if n == 0 && err != nil {
			return 0, unexpected(err)
		}
	}
}

// inform passes a 1xx response on to the client. 100 is not the endpoint's to say: the client
// gets it when its content is first read.
func (r *round) inform(status int, text string) {
	if status == http.StatusContinue {
		r.feed.tell(true)
		return
	}
	x := exchange.From(r.ctx)
	if x == nil || x.Informational == nil {
		return
	}
	head := exchange.NewHead(r.req)
	_, fields, _ := strings.Cut(text, "\r\n")
	for name, value := range fieldLines(fields) {
		head.Add(name, value)
	}
	x.Informational(status, head)
}

// take makes the response out of its head.
func (r *round) take(h *ResponseHead, text string) {
	line, fields, _ := strings.Cut(text, "\r\n")
	res := &r.res
	res.Proto, res.ProtoMajor, res.ProtoMinor = line[:len(version11)], 1, int(h.Minor)
	res.StatusCode, res.Status = h.Status, line[len(version11)+1:]
	res.Request, res.TLS = r.req, r.link.tls
	r.rest = r.client.options.Idle
	said := r.takeFields(fields, h)
	res.Close = said.close || h.Minor == 0 && !said.keeps
	r.framing, r.left = h.Framing(r.req.Method), h.Length
	res.ContentLength = lengthOf(h, r.req.Method, r.framing)
	if h.Chunked {
		res.TransferEncoding = chunkedOnly
		if r.framing == ByChunks {
			res.Trailer = announced(said.trailer, r.ordered())
		}
	}
	r.keeps = !res.Close && !r.req.Close && r.framing != ByClose
	switch {
	case h.Status == http.StatusSwitchingProtocols:
		res.Body = r.openTunnel()
		return
	case r.framing == NoContent:
		r.err = io.EOF
		r.release(r.keeps)
	}
	res.Body = r
}

// lengthOf is the length that a response tells of its content, or of that which a GET would
// have got; -1 is not known.
func lengthOf(h *ResponseHead, method string, framing Framing) int64 {
	switch {
	case framing == NoContent && method != http.MethodHead:
		return 0
	default:
		return h.Length
	}
}

// takeFields gives the response its head, as lines where the request has those, and what it
// says to the client itself.
func (r *round) takeFields(fields string, h *ResponseHead) (said marks) {
	if r.ordered() {
		list := r.lines[:0]
		for name, value := range fieldLines(fields) {
			if r.see(&said, name, value, h) {
				list = append(list, name, value)
			}
		}
		r.res.Header = http.Header{exchange.Lines: list}
		return said
	}
	r.res.Header = make(http.Header, strings.Count(fields, "\n"))
	for name, value := range fieldLines(fields) {
		if r.see(&said, name, value, h) {
			name = textproto.CanonicalMIMEHeaderKey(name)
			r.res.Header[name] = append(r.res.Header[name], value)
		}
	}
	return said
}

// ordered tells whether heads are lines.
func (r *round) ordered() bool {
	_, ordered := r.req.Header[exchange.Lines]
	return ordered
}

// see notes what a field says, and tells whether it stays a field of the head.
func (r *round) see(said *marks, name, value string, h *ResponseHead) (stays bool) {
	switch len(name) {
	case len("trailer"):
		if h.Chunked && strings.EqualFold(name, "trailer") {
			said.trailer += "," + value
			return false
		}
	case len("connection"):
		switch {
		case strings.EqualFold(name, "connection"):
			said.close = said.close || hasOption(value, "close")
			said.keeps = said.keeps || hasOption(value, "keep-alive")
		case strings.EqualFold(name, "keep-alive"):
			if d, ok := KeepAlive(value); ok {
				r.rest = min(r.rest, d)
			}
		}
	case len("transfer-encoding"):
		return !strings.EqualFold(name, "transfer-encoding")
	}
	return true
}

// announced makes the trailer section of a message whose Trailer fields name some, nil where
// they name none.
func announced(names string, ordered bool) http.Header {
	if names == "" {
		return nil
	}
	section := http.Header{}
	for name := range strings.SplitSeq(names, ",") {
		name = textproto.TrimString(name)
		switch {
		case !isName(name) || !mayTrail([]byte(name)):
		case ordered:
			section[exchange.Lines] = append(section[exchange.Lines], name, "")
		default:
			section[textproto.CanonicalMIMEHeaderKey(name)] = nil
		}
	}
	if len(section) == 0 {
		return nil
	}
	return section
}

// margin is how long before the endpoint closes a connection it is closed here: a request that
// is sent then must have arrived before.
const margin = time.Second

// KeepAlive gives how long a connection may be unused by a field Keep-Alive of a response
// (RFC 2068 section 19.7.1.1, as the usual servers send it: `timeout=5, max=100`), and
// whether it says so.
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
