package http1

import "bytes"

// search looks for the end of a head that comes in pieces, and for what lets the head
// be refused before it is whole: a client that speaks another protocol would otherwise
// wait for an answer. The zero value stands at the beginning of a head.
type search struct {
	scan int // what is before was searched
	line int // where the line that is being searched begins
}

// end gives the length of the head that b begins with, 0 while it is not whole. b begins
// with what it began with the time before.
func (s *search) end(b []byte, limits Limits) (int, Reason) {
	for {
		i := bytes.IndexByte(b[s.scan:], '\n')
		if i < 0 {
			s.scan = len(b)
			return 0, OK
		}
		i += s.scan
		if i == 0 || b[i-1] != '\r' {
			return 0, BareLF
		}
		if i-1 == s.line {
			return i + 1, OK
		}
		if s.line == 0 {
			var h Head
			if reason := h.parseRequestLine(b[:i-1], limits); reason != OK {
				return 0, reason
			}
		}
		s.scan, s.line = i+1, i+1
	}
}

// tooLarge tells whether that many bytes of an unfinished head are more than a head may have.
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
