package http1

import "bytes"

// search looks for the end of a head that comes in pieces, and for what lets the head
// be refused before it is whole: a client that speaks another protocol would otherwise
// wait for an answer. The zero value stands at the beginning of a head.
type search struct {
	scan int  // what is before it was searched
	line int  // where the line that is being searched begins
	late bool // the head has not come whole with its first piece
}

// end returns the length of the request head that b begins with, 0 while it is not whole. b begins with what it began
// with in the previous call.
func (s *search) end(b []byte, limits Limits) (int, Reason) {
	for {
		first := s.line == 0
		line, found, reason := s.next(b)
		switch {
		case reason != OK || !found:
			return 0, reason
		case len(line) == 0:
			return s.line + len("\r\n"), OK
		case first:
			var h Head
			if reason := h.parseRequestLine(line, limits); reason != OK {
				return 0, reason
			}
		}
	}
}

// endOfResponse is end for the head of a response.
func (s *search) endOfResponse(b []byte) (int, Reason) {
	for {
		first := s.line == 0
		line, found, reason := s.next(b)
		switch {
		case reason != OK || !found:
			return 0, reason
		case first:
			var h ResponseHead
			if reason := h.parseStatusLine(line); reason != OK {
				return 0, reason
			}
		case len(line) == 0:
			return s.line + len("\r\n"), OK
		}
	}
}

// next returns the next line, without its CR LF; found is false while none is whole. An empty line, which ends a head,
// is returned by every call.
func (s *search) next(b []byte) (line []byte, found bool, reason Reason) {
	i := bytes.IndexByte(b[s.scan:], '\n')
	if i < 0 {
		s.scan = len(b)
		return nil, false, OK
	}
	i += s.scan
	if i == 0 || b[i-1] != '\r' {
		return nil, false, BareLF
	}
	line = b[s.line : i-1]
	if len(line) > 0 {
		s.scan, s.line = i+1, i+1
	}
	return line, true, OK
}

// tooLarge returns a Reason if that many bytes of an unfinished head are more than a head may have.
func (s *search) tooLarge(held int, limits Limits) Reason {
	const methodAndVersion = 64 // more than any method, two spaces and the version need
	switch {
	case s.line == 0 && held > limits.TargetBytes+methodAndVersion:
		return TargetTooLong
	case held >= limits.HeadBytes:
		return HeadTooLarge
	default:
		return OK
	}
}
