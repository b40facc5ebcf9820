package http1

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
)

// Options are what all Sieves of a listener share.
type Options struct {
	Limits
	// HeadTime bounds a head from its first byte to its end; 0 does not.
	HeadTime time.Duration
	// BodyRate is how many bytes of content a client must send a second while the
	// server waits for them; 0 is none. It may be slower for BodyGrace altogether.
	BodyRate  int64
	BodyGrace time.Duration
	// H2C lets a connection that begins with the HTTP/2 preface through unread (prior knowledge).
	H2C bool
}

// Sieve is a server's side of a connection that passes on strictly valid
// HTTP/1.x requests only. It belongs between an accepted connection and
// net/http's server, which must call Next when it is ready for another request
// (StateIdle) and Raw when the connection was hijacked.
//
// Of a message that is refused before its content, nothing is passed. Instead
// the server reads one request that no client can send (see IsRefusal) and then
// the end of the stream, so that responses to earlier requests go out in order
// and the handler answers with Fault. Content that breaks its framing makes
// Read fail with a *fault.Fault; nothing is read after that.
//
// While a request is being answered the Sieve never judges what follows it: a
// Read only waits for the client to leave, and gives (0, nil) when the client
// sent something. That is what net/http's background read needs, and it keeps
// the bytes after an upgrade request whole.
//
// As with any net.Conn, one goroutine reads at a time; deadlines, Write and
// Close may come from others.
type Sieve struct {
	net.Conn

	options *Options
	phase   phase
	first   bool   // no request was passed yet
	blank   bool   // the one tolerated empty line was there
	scan    int    // held[:scan] was searched for the end of the head
	line    int    // where the line that is being searched begins
	out     []byte // what was approved and is passed next
	held    []byte // what was received and is not approved yet
	left    int64  // bytes of content left, by length
	chunks  Chunks
	late    time.Duration // how far the content is behind BodyRate
	broken  error         // what the next Read fails with
	fault   atomic.Pointer[fault.Fault]

	mu    sync.Mutex // guards what follows
	outer time.Time  // the read deadline that the server asked for
	abort bool       // it was in the past when it was set: it ends a Read at once
	guard time.Time  // the Sieve's own deadline, the zero time where none runs
	both  bool       // the earlier deadline holds, not only the guard
}

type phase uint8

const (
	inHead    phase = iota // receiving a head
	inContent              // passing content by its length
	inChunks               // passing chunks
	inTrailer              // receiving the trailer section
	between                // the request is whole; the server has not asked for another
	raw                    // no longer HTTP/1.x
	failed                 // nothing more is read
)

// NewSieve puts a Sieve on conn. firstHead is when the first head must be whole;
// the zero time is never. options must not change while the Sieve is in use.
func NewSieve(conn net.Conn, options *Options, firstHead time.Time) *Sieve {
	s := &Sieve{Conn: conn, options: options, first: true, guard: firstHead}
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.applyDeadline() // a closed connection tells its reader
	return s
}

// TLSSieve is a Sieve on a TLS connection: net/http's server finds the state of
// the connection here and sets Request.TLS by it.
type TLSSieve struct {
	*Sieve
	state tls.ConnectionState
}

// NewTLSSieve puts a Sieve on a connection whose handshake is complete.
func NewTLSSieve(conn *tls.Conn, options *Options, firstHead time.Time) TLSSieve {
	return TLSSieve{NewSieve(conn, options, firstHead), conn.ConnectionState()}
}

// ConnectionState is that of the TLS connection below.
func (s TLSSieve) ConnectionState() tls.ConnectionState { return s.state }

// refusal is the request that the server reads in place of a refused one. No
// client can send it, for GET with an asterisk is refused.
var refusal = []byte("GET * HTTP/1.1\r\nHost: refused.invalid\r\nConnection: close\r\n\r\n")

// IsRefusal tells whether a request with this method and target, read through a
// Sieve, stands for one that the Sieve refused.
func IsRefusal(method, target string) bool { return method == "GET" && target == "*" }

// Fault is why the Sieve refuses to read on, nil while it does not.
func (s *Sieve) Fault() *fault.Fault { return s.fault.Load() }

// Next tells that the server has answered a request and is ready for another.
func (s *Sieve) Next() {
	switch s.phase {
	case between:
		s.phase, s.scan, s.line, s.blank = inHead, 0, 0, false
		if len(s.held) > 0 {
			s.startClock()
		}
	case raw, failed:
	default: // the server lost track of the content: what follows could be taken for a head
		s.phase, s.out, s.held = failed, nil, nil
	}
}

// Raw ends the inspection: another protocol begins. What was held is read first.
func (s *Sieve) Raw() {
	if s.phase != failed {
		s.phase = raw
		s.setGuard(time.Time{})
	}
}

// Read gives the next approved bytes; see Sieve for its errors.
func (s *Sieve) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(s.out) > 0 {
		return s.pass(p), nil
	}
	switch s.phase {
	case inHead:
		return s.readHead(p)
	case inContent:
		return s.readContent(p)
	case inChunks:
		return s.readChunks(p)
	case inTrailer:
		return s.readTrailer(p)
	case between:
		return s.wait(p)
	case raw:
		return s.readRaw(p)
	default:
		if err := s.broken; err != nil {
			s.broken = nil
			return 0, err
		}
		return 0, io.EOF
	}
}

// pass gives what was approved. Nothing is kept of it afterwards, so that an
// idle connection holds no buffer.
func (s *Sieve) pass(p []byte) int {
	n := copy(p, s.out)
	if s.out = s.out[n:]; len(s.out) == 0 {
		s.out = nil
	}
	return n
}

// wait holds what comes while a request is being answered.
func (s *Sieve) wait(p []byte) (int, error) {
	if len(s.held) > 0 {
		return 0, nil
	}
	n, err := s.Conn.Read(p)
	if n > 0 {
		s.held = append(s.held[:0], p[:n]...)
		return 0, nil
	}
	return 0, err
}

// readRaw gives what was held, then what comes.
func (s *Sieve) readRaw(p []byte) (int, error) {
	if len(s.held) == 0 {
		return s.Conn.Read(p)
	}
	n := copy(p, s.held)
	s.hold(s.held[n:])
	return n, nil
}

// hold keeps b, a part of what was held.
func (s *Sieve) hold(b []byte) {
	if len(b) == 0 {
		b = nil
	}
	s.held = b
}

// readHead receives until the head is whole. A head that comes alone in one
// piece, as nearly all do, is checked where it lies.
func (s *Sieve) readHead(p []byte) (int, error) {
	if len(s.held) == 0 {
		n, err := s.Conn.Read(p)
		if n == 0 {
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
		s.held = append(s.held[:0], b...)
		if len(s.held) > 0 {
			s.startClock()
		}
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
			reason = s.tooLarge()
		}
		if reason != OK {
			return s.refuse(p, reason.Fault())
		}
		if err := s.receive(s.options.HeadBytes); err != nil {
			if len(s.held) > 0 && s.clockRanOut(err) {
				return s.refuse(p, HeadIncomplete.Fault())
			}
			return 0, err
		}
	}
}

// skipBlank removes the one empty line that may come before a request (RFC 9112 section 2.2).
func (s *Sieve) skipBlank(b []byte) []byte {
	if !s.blank && s.scan == 0 && len(b) >= 2 && b[0] == '\r' && b[1] == '\n' {
		s.blank = true
		return b[2:]
	}
	return b
}

// findEnd looks for the end of the head that b begins with and gives its
// length, 0 while it is not whole. What can be refused before that, is: a
// client that speaks another protocol would otherwise wait for an answer.
func (s *Sieve) findEnd(b []byte) (int, Reason) {
	if s.scan == 0 && len(b) > 0 {
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
			if reason := h.parseRequestLine(b[:i-1], s.options.Limits); reason != OK {
				return 0, reason
			}
		}
		s.scan, s.line = i+1, i+1
	}
}

// preface is what an HTTP/2 connection begins with (RFC 9113 section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// mayBePreface tells whether b, the first bytes of the connection, may yet
// become the HTTP/2 preface, and ends the inspection when it is there.
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

// checkFirst judges by the first bytes what can never become a request.
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

// judge checks a whole head and prepares for what follows it. The head that it
// gives is the one to pass on, and begins where b begins.
func (s *Sieve) judge(b []byte) ([]byte, Reason) {
	if s.phase == raw {
		return b, OK
	}
	var h Head
	if reason := h.Parse(b, s.options.Limits); reason != OK {
		return nil, reason
	}
	s.first = false
	s.setGuard(time.Time{})
	s.late = 0
	switch h.Framing {
	case NoContent:
		s.phase = between
	case ByLength:
		s.phase, s.left = inContent, h.Length
	case ByChunks:
		s.phase, s.chunks = inChunks, Chunks{}
	}
	if h.Rewrites() {
		b = h.Rewrite(b)
	}
	return b, OK
}

// tooLarge tells whether what is held of an unfinished head is more than a head may have.
func (s *Sieve) tooLarge() Reason {
	const methodAndVersion = 64 // more than any method, two spaces and the version need
	switch {
	case s.line == 0 && len(s.held) > s.options.TargetBytes+methodAndVersion:
		return TargetTooLong
	case len(s.held) >= s.options.HeadBytes:
		return HeadTooLarge
	default:
		return OK
	}
}

const readSize = 4 << 10

// receive reads more into held, which it lets grow to about limit bytes.
func (s *Sieve) receive(limit int) error {
	if cap(s.held)-len(s.held) < 512 {
		s.held = slices.Grow(s.held, min(readSize, limit))
	}
	n, err := s.Conn.Read(s.held[len(s.held):cap(s.held)])
	had := len(s.held)
	s.held = s.held[:had+n]
	if n == 0 {
		return err
	}
	if had == 0 && s.phase == inHead {
		s.startClock()
	}
	return nil
}

// refuse ends the stream with the request that stands for a refused one.
func (s *Sieve) refuse(p []byte, f *fault.Fault) (int, error) {
	s.fault.Store(f)
	s.phase, s.held, s.out = failed, nil, refusal
	s.setGuard(time.Time{})
	return s.pass(p), nil
}

// fail ends the stream in the middle of content.
func (s *Sieve) fail(reason Reason) error {
	f := reason.Fault()
	s.fault.Store(f)
	s.phase, s.held, s.out = failed, nil, nil
	return f
}

// clockRanOut tells whether err is the time-out of the head's own deadline.
func (s *Sieve) clockRanOut(err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Is(err, os.ErrDeadlineExceeded) && !s.abort && !s.guard.IsZero() && !time.Now().Before(s.guard)
}
