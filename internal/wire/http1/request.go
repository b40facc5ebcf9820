package http1

import (
	"bytes"
	"iter"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/weir-gateway/weir/internal/base/field"
)

// read makes a request from a checked head, whose fields are those that were gathered last. Nothing of head is used
// afterwards.
func (t *turn) read(c *Conn, head []byte) {
	h := &t.framed
	t.between()
	method, target := head[:h.method], head[h.method+1:][:h.target]
	r := t.request
	r.Method, r.RequestURI = methodOf(method), t.targetOf(target)
	r.Proto, r.ProtoMajor, r.ProtoMinor = version11, 1, int(h.minor)
	if h.minor == 0 {
		r.Proto = version10
	}
	r.RemoteAddr, r.TLS = c.remote(), c.tls
	r.URL = t.parseURL(c, r.RequestURI)
	m := t.takeFields(r, c.server.options.Lines)
	t.gather.lighten(len(head))
	r.Close = m.close || h.minor == 0 && !m.keeps
	t.attach(c, m)
	if c.server.options.Lines {
		t.response = t.newReply()
		t.response.header, t.response.lines = t.heads.Renew(), t.heads
	} else {
		t.response = &response{header: http.Header{}}
	}
	w := t.response
	w.conn, w.turn = c, t
	if t.body == nil || t.body.isHere() {
		w.out = t.emptyOut()
	} else {
		t.giveOut() // the writer takes one when there is something to write
		t.gather = nil
	}
	w.declared, w.isHead, w.old, w.keeps = unknown, r.Method == http.MethodHead, h.minor == 0, m.keeps
	w.ends = r.Close || c.server.retired.Load()
	w.mayContinue = t.body != nil && t.body.expected
}

// cutAt is bytes.Cut at the first c, which must be there.
func cutAt(text []byte, c byte) (before, after []byte) {
	i := bytes.IndexByte(text, c)
	return text[:i], text[i+1:]
}

// methodOf converts a method to a string, without an allocation for the usual ones.
func methodOf(method []byte) string {
	for _, usual := range [...]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodHead, http.MethodDelete, http.MethodPatch, http.MethodOptions} {
		if string(method) == usual {
			return usual
		}
	}
	return string(method)
}

// targetOf converts a target to a string, without an allocation if it is the same as the last one.
func (t *turn) targetOf(target []byte) string {
	if string(target) != t.target {
		t.target = string(target)
	}
	return t.target
}

// attach gives the request its body, if it has one.
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
	t.body.takeRest()
	r.Body = t.body
}

// chunkedOnly is shared by all requests: code that knows net/http never changes it.
var chunkedOnly = []string{"chunked"}

// marks are what the fields of a message tell its reader.
type marks struct {
	close, keeps, expects bool
	trailer               string
}

// see records what a field says, and reports whether it stays in the head.
func (m *marks) see(r *http.Request, line field.Line, chunked bool) (stays bool) {
	switch line.Known() {
	case field.Host:
		r.Host = line.Value()
		return false
	case field.Expect:
		m.expects = true
	case field.Trailer:
		if chunked {
			if m.trailer != "" {
				m.trailer += ","
			}
			m.trailer += line.Value()
			return false
		}
	case field.Connection:
		m.connects(line.Value())
	case field.TransferEncoding:
		return false
	default:
	}
	return true
}

// connects records what a Connection field says.
func (m *marks) connects(value string) {
	switch field.OptionOf(value) {
	case field.Close:
		m.close = true
		return
	case field.KeepOpen:
		m.keeps = true
		return
	default:
	}
	m.close = m.close || hasOption(value, "close")
	m.keeps = m.keeps || hasOption(value, "keep-alive")
}

// hasOption reports whether a Connection field has an option.
func hasOption(value, option string) bool {
	for element := range strings.SplitSeq(value, ",") {
		if strings.EqualFold(textproto.TrimString(element), option) {
			return true
		}
	}
	return false
}

// takeFields gives the request the gathered head, as lines or as a map of its own.
func (t *turn) takeFields(r *http.Request, ordered bool) (m marks) {
	chunked := t.framed.framing == ByChunks
	if ordered {
		r.Header = t.head.Renew()
		for _, line := range t.gather.all() {
			if line.Known() == field.Other || m.see(r, line, chunked) {
				t.head.Append(line)
			}
		}
		return m
	}
	lines := t.gather.all()
	r.Header = make(http.Header, len(lines))
	for _, line := range lines {
		if m.see(r, line, chunked) {
			addTo(r.Header, line)
		}
	}
	return m
}

// addTo adds a line to an ordinary map.
func addTo(head http.Header, line field.Line) {
	name := textproto.CanonicalMIMEHeaderKey(line.Name())
	head[name] = append(head[name], line.Value())
}

// fieldLines is Fields for a string.
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

// trimBlanks trims blanks and tabs like strings.Trim, for values that mostly have one in front.
func trimBlanks(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// parseURL returns the URL of a target in origin-form, or of "*". A path without escapes is used as it is.
func (t *turn) parseURL(c *Conn, target string) *url.URL {
	u := &t.url
	if !c.server.options.Lines {
		u = new(url.URL)
	}
	path, query, asked := strings.Cut(target, "?")
	if plainPath(path) {
		*u = url.URL{}
		u.Path, u.RawQuery, u.ForceQuery = path, query, asked && query == ""
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

// plainPath reports whether net/url would write a path unchanged.
func plainPath(path string) bool {
	if path == "*" {
		return true
	}
	for i := range len(path) {
		if classes[path[i]]&plainByte == 0 {
			return false
		}
	}
	return true
}
