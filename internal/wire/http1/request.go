package http1

import (
	"iter"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// read makes a request of a head that was checked, and of what was said there of its
// content. text is the head as it is passed on; the request's strings are parts of it.
func (t *turn) read(c *Conn, text string) {
	h := &t.framed
	t.between()
	line, fields := cutAt(text, '\n')
	method, rest := cutAt(line[:len(line)-len("\r")], ' ')
	target, proto := cutAt(rest, ' ')
	r := t.request
	r.Method, r.RequestURI, r.Proto = method, target, proto
	r.ProtoMajor, r.ProtoMinor = 1, int(h.minor)
	r.RemoteAddr, r.TLS = c.remote(), c.tls
	r.URL = t.parseURL(c, target)
	var m marks
	if c.server.options.Lines {
		m = t.takeLines(r, fields, h.framing == ByChunks)
	} else {
		m = takeFields(r, fields, h.framing == ByChunks)
	}
	r.Close = m.close || h.minor == 0 && !m.keeps
	t.attach(c, m)
	if c.server.options.Lines {
		t.response = t.newReply()
		t.response.header = t.newHeads()
	} else {
		t.response = &response{header: http.Header{}}
	}
	w := t.response
	w.conn, w.turn = c, t
	if t.body == nil || t.body.isHere() {
		w.out = t.emptyOut()
	} else {
		t.giveOut() // the writer takes one when there is something to write
	}
	w.declared, w.isHead, w.old, w.keeps = unknown, method == http.MethodHead, h.minor == 0, m.keeps
	w.ends = r.Close || c.server.retired.Load()
	w.mayContinue = t.body != nil && t.body.expected
}

// cutAt is strings.Cut at the first c, which there is.
func cutAt(text string, c byte) (before, after string) {
	i := strings.IndexByte(text, c)
	return text[:i], text[i+1:]
}

// attach gives the request its body, where it has any.
func (t *turn) attach(c *Conn, m marks) {
	r, h := t.request, &t.framed
	r.Body = http.NoBody
	switch h.framing {
	case NoContent:
		return
	case ByLength:
		r.ContentLength = h.length
	case ByChunks:
		r.ContentLength = -1
		r.TransferEncoding = chunkedOnly
		r.Trailer = announced(m.trailer, c.server.options.Lines)
	}
	t.body = &body{conn: c, turn: t, chunked: h.framing == ByChunks, left: h.length, trailer: r.Trailer, expected: m.expects && h.minor > 0}
	r.Body = t.body
}

// chunkedOnly is never changed by who knows net/http: it is the same for all requests.
var chunkedOnly = []string{"chunked"}

// marks are what the fields of a message say to who reads it.
type marks struct {
	close, keeps, expects bool
	trailer               string
}

// see notes what a field says, and tells whether it stays a field of the head.
func (m *marks) see(r *http.Request, name, value string, chunked bool) (stays bool) {
	switch len(name) {
	case len("host"):
		if is(name, "Host") {
			r.Host = value
			return false
		}
	case len("expect"):
		m.expects = m.expects || is(name, "Expect")
	case len("trailer"):
		if chunked && is(name, "Trailer") {
			if m.trailer != "" {
				m.trailer += ","
			}
			m.trailer += value
			return false
		}
	case len("connection"):
		if is(name, "Connection") {
			m.close = m.close || hasOption(value, "close")
			m.keeps = m.keeps || hasOption(value, "keep-alive")
		}
	case len("transfer-encoding"):
		return !is(name, "Transfer-Encoding")
	}
	return true
}

// hasOption tells whether a Connection field has an option.
func hasOption(value, option string) bool {
	for element := range strings.SplitSeq(value, ",") {
		if strings.EqualFold(textproto.TrimString(element), option) {
			return true
		}
	}
	return false
}

// takeLines gives the request its head as lines, which are used again.
func (t *turn) takeLines(r *http.Request, fields string, chunked bool) (m marks) {
	list := t.lines[:0]
	for name, value := range fieldLines(fields) {
		if m.see(r, name, value, chunked) {
			list = append(list, name, value)
		}
	}
	t.lines = list
	t.head[exchange.Lines] = list
	r.Header = t.head
	return m
}

// takeFields gives the request a map of its own.
func takeFields(r *http.Request, fields string, chunked bool) (m marks) {
	r.Header = make(http.Header, strings.Count(fields, "\n"))
	for name, value := range fieldLines(fields) {
		if m.see(r, name, value, chunked) {
			name = textproto.CanonicalMIMEHeaderKey(name)
			r.Header[name] = append(r.Header[name], value)
		}
	}
	return m
}

// fieldLines is Fields for text.
func fieldLines(text string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for {
			end := strings.IndexByte(text, '\r') // there is none within a line that was checked
			if end <= 0 {
				return
			}
			line := text[:end]
			text = text[min(end+len("\r\n"), len(text)):]
			colon := strings.IndexByte(line, ':') // there is one in each line that was checked
			if colon < 0 || !yield(line[:colon], trimBlanks(line[colon+1:])) {
				return
			}
		}
	}
}

// trimBlanks is strings.Trim of blanks and tabs for values that mostly have one at the front.
func trimBlanks(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// parseURL gives the URL of a target in origin-form, or of "*". A path without an escape
// is what it stands for.
func (t *turn) parseURL(c *Conn, target string) *url.URL {
	u := &t.url
	if !c.server.options.Lines {
		u = new(url.URL)
	}
	path, query, asked := strings.Cut(target, "?")
	if plainPath(path) {
		*u = url.URL{Path: path, RawQuery: query, ForceQuery: asked && query == ""}
		return u
	}
	parsed, err := url.ParseRequestURI(target)
	if err != nil {
		*u = url.URL{Path: path, RawQuery: query} // the grammar is the stricter one
		return u
	}
	*u = *parsed
	return u
}

// plainPath tells whether net/url would write a path as it is.
func plainPath(path string) bool {
	if path == "*" {
		return true
	}
	for i := range len(path) {
		switch path[i] {
		case '/', '$', '&', '+', ',', ':', ';', '=', '@':
		default:
			if classes[path[i]]&hostByte == 0 {
				return false
			}
		}
	}
	return true
}
