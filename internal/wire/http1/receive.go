package http1

import (
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/wire/pace"
)

// readHead receives until the head is whole. A head that comes alone in one
// piece, as nearly all do, is checked where it lies.
func (s *Sieve) readHead(p []byte) (int, error) {
	if len(s.held) > 0 {
		return s.assembleHead(p)
	}
	n, err := s.Conn.Read(p)
	if n == 0 {
		if s.mayRest(err) {
			return 0, errResting
		}
		if s.clockRanOut(err, time.Now()) {
			s.tell(HeadIncomplete)
		}
		return 0, err
	}
	b := s.skipBlank(p[:n])
	end, reason := s.findEnd(b)
	if reason == OK && end == len(b) && end > 0 {
		if b, reason = s.judge(b); reason == OK {
			return copy(p, b), nil
		}
	}
	if reason != OK {
		return s.refuse(p, reason.Fault())
	}
	if len(b) > 0 {
		s.held = append(s.held[:0], b...)
		s.startClock()
	}
	return s.assembleHead(p)
}

// assembleHead works on what is held, and receives more until the head is whole.
func (s *Sieve) assembleHead(p []byte) (int, error) {
	for {
		s.held = s.skipBlank(s.held)
		end, reason := s.findEnd(s.held)
		if reason == OK && end > 0 {
			head := s.held[:end:end]
			s.hold(s.held[end:])
			if s.out, reason = s.judge(head); reason == OK {
				return s.pass(p), nil
			}
		}
		if reason == OK {
			reason = s.search.tooLarge(len(s.held), s.options.Limits)
		}
		if reason != OK {
			return s.refuse(p, reason.Fault())
		}
		if err := s.receive(); err != nil {
			if s.mayRest(err) {
				return 0, errResting
			}
			if !s.clockRanOut(err, time.Now()) {
				return 0, err
			}
			s.tell(HeadIncomplete)
			if len(s.held) > 0 {
				return s.refuse(p, HeadIncomplete.Fault())
			}
			return 0, err
		}
	}
}

// skipBlank removes the one empty line that may come before a request (RFC 9112 section 2.2).
func (s *Sieve) skipBlank(b []byte) []byte {
	if !s.blank && s.search.scan == 0 && len(b) >= 2 && b[0] == '\r' && b[1] == '\n' {
		s.blank = true
		return b[2:]
	}
	return b
}

// findEnd looks for the end of the head that b begins with and returns the head's length, 0 while it is not whole. A
// head that can be refused before it is whole is refused: a client that speaks another protocol would otherwise wait
// for an answer.
func (s *Sieve) findEnd(b []byte) (int, Reason) {
	if s.search.scan == 0 && len(b) > 0 {
		if string(b) == "\r" || s.mayBePreface(b) {
			return 0, OK
		}
		if s.phase == raw {
			return len(b), OK
		}
		if reason := checkFirst(b); reason != OK {
			return 0, reason
		}
	}
	return s.search.end(b, s.options.Limits)
}

// preface is what an HTTP/2 connection begins with (RFC 9113 section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// mayBePreface reports whether b, the first bytes of the connection, may yet become the HTTP/2 preface, and ends the
// inspection when the preface is there.
func (s *Sieve) mayBePreface(b []byte) bool {
	if !s.options.H2C || !s.first || s.blank {
		return false
	}
	if len(b) < len(preface) {
		return string(b) == preface[:len(b)]
	}
	if string(b[:len(preface)]) == preface {
		s.first = false
		s.Raw()
	}
	return false
}

// checkFirst refuses, by its first bytes, what can never become a request.
func checkFirst(b []byte) Reason {
	const handshake = 0x16 // the content type of a TLS ClientHello
	switch {
	case classes[b[0]]&tchar != 0:
		return OK
	case b[0] == handshake:
		return LooksLikeTLS
	case b[0] == '\n':
		return BareLF
	case b[0] == '\r' && b[1] == '\n':
		return LeadingLines
	case b[0] == '\r':
		return BareCR
	default:
		return NotHTTP
	}
}

// judge checks a whole head and prepares for what follows it. It returns the head to pass on, which begins where b
// begins.
func (s *Sieve) judge(b []byte) ([]byte, Reason) {
	if s.phase == raw {
		return b, OK
	}
	var h Head
	if reason := h.Parse(b, s.options.Limits); reason != OK {
		return nil, reason
	}
	s.first = false
	s.dropGuard()
	s.pace = pace.Pace{}
	switch h.Framing {
	case NoContent:
		s.phase = between
	case ByLength:
		s.phase, s.left = inContent, h.Length
	case ByChunks:
		s.phase, s.chunks = inChunks, Chunks{}
	}
	s.midway.Store(h.Framing != NoContent)
	if h.Rewrites() {
		b = h.Rewrite(b)
	}
	return b, OK
}

// leastRoom is the initial size of the buffer that is read into: most heads fit, and a client that sends a head slowly
// holds little memory.
const leastRoom = 512

// receive reads more into held, which grows as needed.
func (s *Sieve) receive() error {
	if cap(s.held)-len(s.held) < leastRoom/2 {
		s.held = slices.Grow(s.held, max(leastRoom, len(s.held)))
	}
	had := len(s.held)
	room := s.held[had:cap(s.held)]
	n, err := s.readMore(room)
	if n == 0 {
		return err
	}
	s.held = s.held[:had+n]
	if had == 0 && s.phase == inHead {
		s.startClock()
	}
	return nil
}

// readMore reads from the client. A trailer section is paced like the content before it.
func (s *Sieve) readMore(p []byte) (int, error) {
	if s.phase == inTrailer {
		return s.await(p)
	}
	return s.Conn.Read(p)
}
