package http1

import "bytes"

// Limits bound one message head. All must be positive.
type Limits struct {
	HeadBytes   int // request line, field lines and the empty line
	HeadFields  int // field lines
	TargetBytes int // request target
}

// Framing is how the end of a message's content is found (RFC 9112 section 6.3).
type Framing uint8

// The framings; there is no other.
const (
	NoContent Framing = iota // there is none, or its length is 0
	ByLength                 // Content-Length, larger than 0
	ByChunks                 // Transfer-Encoding: chunked
	ByClose                  // only in responses: the end of the connection
)

// Head is one checked request head. Its slices point into the bytes that were parsed, and are valid as long as those do
// not change.
type Head struct {
	Method    []byte
	Target    []byte // as it was sent
	Authority []byte // host and port of an absolute-form target, nil otherwise
	Path      []byte // the target in origin-form; empty for "http://host", which means "/"
	Host      []byte // value of the Host field, nil if HTTP/1.0 has none
	Minor     uint8  // 0 for HTTP/1.0, 1 for HTTP/1.1
	Framing   Framing
	Length    int64 // of the content, if Framing is ByLength

	lengths   int
	codings   int
	hosts     int
	discarded int // field lines that Rewrite removes
}

// Parse checks a whole head, from the request line up to and including the
// empty line, and decides the framing of what follows. It allocates nothing.
func (h *Head) Parse(b []byte, limits Limits) Reason { return h.parseAll(b, limits, nil) }

// parseAll is Parse, and leaves the lines in g.
func (h *Head) parseAll(b []byte, limits Limits, g *gather) Reason {
	if len(b) > limits.HeadBytes {
		*h = Head{}
		return HeadTooLarge
	}
	end, reason := h.parse(b, limits, g)
	return onlyWhole(b, end, reason)
}

// onlyWhole returns what is wrong with b, of which a head was parsed that has to be all of it.
func onlyWhole(b []byte, end int, reason Reason) Reason {
	switch {
	case reason != OK:
		return reason
	case end == 0:
		return BareLF
	case end < len(b):
		return BadFieldName // the caller gave more than one head
	}
	return OK
}

// parse is Parse for a head that b begins with. It returns the head's length, 0 if it is incomplete, and leaves the
// lines in g.
func (h *Head) parse(b []byte, limits Limits, g *gather) (end int, reason Reason) {
	*h = Head{}
	line, rest, found, reason := cutLine(b)
	if !found || reason != OK {
		return 0, reason
	}
	if reason := h.parseRequestLine(line, limits); reason != OK {
		return 0, reason
	}
	rest, reason = g.fields(rest, &ofRequests, limits.HeadFields, h.take)
	if reason != OK || rest == nil {
		return 0, reason
	}
	return len(b) - len(rest), h.decide()
}

// cutLine returns the first line of b without its CR LF, and what follows, if b has a complete one.
func cutLine(b []byte) (line, rest []byte, found bool, reason Reason) {
	i := bytes.IndexByte(b, '\n')
	switch {
	case i < 0:
		return nil, nil, false, OK
	case i == 0 || b[i-1] != '\r':
		return nil, nil, false, BareLF
	}
	return b[:i-1], b[i+1:], true, OK
}

const (
	version10 = "HTTP/1.0"
	version11 = "HTTP/1.1"
)

func (h *Head) parseRequestLine(line []byte, limits Limits) Reason {
	space := bytes.IndexByte(line, ' ')
	if space < 0 {
		return BadRequestLine
	}
	method, rest := line[:space], line[space+1:]
	if !isToken(method) {
		return BadMethod
	}
	space = bytes.IndexByte(rest, ' ')
	if space <= 0 {
		return BadRequestLine // no version: HTTP/0.9, or two spaces
	}
	target, version := rest[:space], rest[space+1:]
	if len(target) > limits.TargetBytes {
		return TargetTooLong
	}
	switch string(version) {
	case version11:
		h.Minor = 1
	case version10:
		h.Minor = 0
	default:
		return badVersion(version)
	}
	h.Method, h.Target = method, target
	return h.parseTarget()
}

// badVersion distinguishes a version that is not supported here from one that is no version at all.
func badVersion(version []byte) Reason {
	if len(version) == len(version11) && bytes.HasPrefix(version, []byte("HTTP/")) && version[6] == '.' &&
		'0' <= version[5] && version[5] <= '9' && '0' <= version[7] && version[7] <= '9' {
		return BadVersion
	}
	return BadRequestLine
}

// decide applies the rules that need the whole head.
func (h *Head) decide() Reason {
	switch {
	case h.hosts > 1:
		return RepeatedHost
	case h.hosts == 0 && (h.Minor == 1 || h.Authority != nil):
		return NoHost
	case h.Authority != nil && !equalFoldBytes(h.Authority, h.Host):
		return HostMismatch
	case h.codings > 0 && h.lengths > 0:
		return LengthAndCoding
	case h.codings > 1:
		return RepeatedCoding
	case h.lengths > 1:
		return RepeatedLength
	case h.codings > 0 && h.Minor == 0:
		return CodingOnHTTP10
	case h.Framing != NoContent && string(h.Method) == "TRACE":
		return TraceContent
	}
	return OK
}
