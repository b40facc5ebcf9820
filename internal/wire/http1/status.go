package http1

import "github.com/weir-gateway/weir/internal/base/field"

// ResponseHead is what a checked head of a response says about the response.
type ResponseHead struct {
	Status  int
	Minor   uint8 // 0 for HTTP/1.0, 1 for HTTP/1.1
	Length  int64 // of the content, from Content-Length; -1 if there is none
	Chunked bool
}

// Parse checks a whole head, from the status line up to and including the empty line. It ignores limits.TargetBytes and
// allocates nothing.
//
// It is stricter than RFC 9112 requires of a client where two readers could find different ends: a length beside a
// coding, another coding than chunked, folded lines. Repeated lengths that are the same count as one length.
func (h *ResponseHead) Parse(b []byte, limits Limits) Reason {
	if len(b) > limits.HeadBytes {
		*h = ResponseHead{Length: unknown}
		return HeadTooLarge
	}
	end, reason := h.parse(b, limits, nil)
	return onlyWhole(b, end, reason)
}

// parse is Parse for a head that b begins with. It returns the head's length, 0 if it is incomplete, and leaves the
// lines in g.
func (h *ResponseHead) parse(b []byte, limits Limits, g *gather) (end int, reason Reason) {
	*h = ResponseHead{Length: unknown}
	line, rest, found, reason := cutLine(b)
	if !found || reason != OK {
		return 0, reason
	}
	if reason = h.parseStatusLine(line); reason != OK {
		return 0, reason
	}
	rest, reason = g.fields(rest, &ofResponses, limits.HeadFields, h.take)
	if reason != OK || rest == nil {
		return 0, reason
	}
	return len(b) - len(rest), h.decide()
}

// parseStatusLine reads HTTP/1.x, a status and a reason, which many servers leave out along with the blank before it.
func (h *ResponseHead) parseStatusLine(line []byte) Reason {
	const version, status = len(version11), len(version11) + len(" 200")
	if len(line) < status || line[version] != ' ' || len(line) > status && line[status] != ' ' {
		return BadStatusLine
	}
	switch string(line[:version]) {
	case version11:
		h.Minor = 1
	case version10:
		h.Minor = 0
	default:
		return BadStatusLine
	}
	h.Status = 0
	for _, c := range line[version+1 : status] {
		if c < '0' || c > '9' {
			return BadStatusLine
		}
		h.Status = h.Status*10 + int(c-'0')
	}
	switch {
	case h.Status < 100:
		return BadStatus
	case !all(line[status:], fieldByte):
		return BadStatusLine
	}
	return OK
}

// ofResponses is how the heads of responses are read: ResponseHead.take judges these fields.
var ofResponses = manner{splitResponseField, field.SetOf(field.ContentLength, field.TransferEncoding)}

// take keeps what a field says about framing.
func (h *ResponseHead) take(known field.Known, value []byte) Reason {
	switch known {
	case field.ContentLength:
		return h.length(value)
	case field.TransferEncoding:
		return h.coding(value)
	default:
		return OK
	}
}

func (h *ResponseHead) length(value []byte) Reason {
	n, reason := parseLength(value)
	if reason != OK {
		return reason
	}
	if h.Length != unknown && h.Length != n {
		return RepeatedLength
	}
	h.Length = n
	return OK
}

func (h *ResponseHead) coding(value []byte) Reason {
	switch {
	case !equalFold(value, "chunked"):
		return BadCoding
	case h.Chunked:
		return RepeatedCoding
	}
	h.Chunked = true
	return OK
}

// decide applies the rules that need the whole head.
func (h *ResponseHead) decide() Reason {
	switch {
	case h.Chunked && h.Length != unknown:
		return LengthAndCoding
	case h.Chunked && h.Minor == 0:
		return CodingOnHTTP10
	}
	return OK
}

// Framing returns how the content of a response to a request with that method ends (RFC 9112 section 6.3).
func (h *ResponseHead) Framing(method string) Framing {
	switch {
	case method == "HEAD" || !hasContent(h.Status) || h.Length == 0:
		return NoContent
	case h.Chunked:
		return ByChunks
	case h.Length > 0:
		return ByLength
	default:
		return ByClose
	}
}
