package http1

import (
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/poison"
)

// answer is what a response is made of, but for its body. It is used again where its reader says
// that nobody has it any more, and else is not.
type answer struct {
	res   http.Response
	head  http.Header // that has the lines
	lines []string
}

// usualLines is how many lines the head of a response seldom has more of.
const usualLines = 16

func newAnswer() *answer { return &answer{head: http.Header{}, lines: make([]string, 0, 2*usualLines)} }

// Release says that nobody uses the response any more, neither its head nor its body, and tells
// whether nobody has its request either: nothing of it is being sent any more, and the response was read to its end.
func (r *round) Release() (request bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.answer
	if a == nil || !onlyEOF(r.err) {
		return false
	}
	r.answer = nil
	if list, ordered := a.head[exchange.Lines]; ordered { // else somebody has made it a plain map
		a.lines = forget(list)
		poison.Response(&a.res)
		if !poison.On {
			r.client.answers.Put(a)
		}
	}
	return r.feed == nil
}

// receive reads heads until the final one. Those of 1xx responses are passed on.
func (r *round) receive() error {
	limits := r.client.options.Limits
	for {
		var h ResponseHead
		end, err := r.receiveHead(&h, limits)
		if err != nil {
			return err
		}
		text := string(r.room.in.b[:end]) // all that the strings of the response are parts of
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

// receiveHead receives until a whole head lies at the beginning of what came, parses it and gives its
// length. Nearly every head comes in one piece, and is looked at once; of others the end is searched first.
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
			end, reason = h.parse(in.b[:min(len(in.b), limits.HeadBytes)], limits)
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
	x.Informational.Inform(status, head)
}

// take makes the response out of its head.
func (r *round) take(h *ResponseHead, text string) {
	line, fields := cutAt(text, '\n')
	line = line[:len(line)-len("\r")]
	r.answer, _ = r.client.answers.Get().(*answer)
	res := &r.answer.res
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
	r.late = res.StatusCode == http.StatusRequestTimeout && res.Close && r.reused
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
	a := r.answer
	if r.ordered() {
		list := a.lines[:0]
		for name, value := range fieldLines(fields) {
			if r.see(&said, name, value, h) {
				list = append(list, name, value)
			}
		}
		a.head[exchange.Lines] = list
		a.res.Header = a.head
		return said
	}
	head := make(http.Header, strings.Count(fields, "\n"))
	for name, value := range fieldLines(fields) {
		if r.see(&said, name, value, h) {
			name = textproto.CanonicalMIMEHeaderKey(name)
			head[name] = append(head[name], value)
		}
	}
	a.res.Header = head
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
		if h.Chunked && is(name, "Trailer") {
			said.trailer += "," + value
			return false
		}
	case len("connection"):
		switch {
		case is(name, "Connection"):
			said.close = said.close || hasOption(value, "close")
			said.keeps = said.keeps || hasOption(value, "keep-alive")
		case is(name, "Keep-Alive"):
			if d, ok := KeepAlive(value); ok {
				r.rest = min(r.rest, d)
			}
		}
	case len("transfer-encoding"):
		return !is(name, "Transfer-Encoding")
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
