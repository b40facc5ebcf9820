package http1

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/wire/pace"
)

// Options are what all Sieves of a listener share.
type Options struct {
	Limits
	// HeadTime bounds a head from its first byte to its end; 0 is no bound.
	HeadTime time.Duration
	// BodyRate is how many bytes of content a client must send per second while the server waits for them; 0 is no
	// minimum. See package pace for when a client is too slow.
	BodyRate int64
	// Slow is called for each client that was too slow, with HeadIncomplete, even if nothing came, or ContentTooSlow,
	// and with whether the client had sent no request before; nil: nothing is called.
	Slow func(peer net.Addr, r Reason, first bool)
	// Rest, if it is not nil, is given each Sieve on which a server has waited for a head for RestAfter. The server was
	// told that the connection has ended, and has closed it, but the connection is open. The function calls Await and
	// then hands the Sieve to a server again, or closes it.
	Rest func(s *Sieve)
	// H2C lets a connection that begins with the HTTP/2 preface through unread (prior knowledge).
	H2C bool
}

// Sieve is a server's side of a connection that passes on strictly valid HTTP/1.x requests only. It belongs between an
// accepted connection and net/http's server, which must call Next when it is ready for another request (StateIdle) and
// Raw when the connection was hijacked.
//
// Of a message that is refused before its content, nothing is passed. Instead the server reads one request that no
// client can send (see IsRefusal) and then the end of the stream, so that responses to earlier requests go out in order
// and the handler answers with Fault. Content that breaks its framing makes Read fail with a *fault.Fault; nothing is
// read after that.
//
// While a request is being answered the Sieve never judges what follows it: a Read only waits for the client to leave,
// and returns (0, nil) when the client sent something. That is what net/http's background read needs, and it keeps the
// bytes after an upgrade request whole.
//
// As with any net.Conn, one goroutine reads at a time; deadlines, Write and Close may come from others.
type Sieve struct {
	net.Conn

	options *Options
	phase   phase
	first   bool   // no request was passed yet
	blank   bool   // the one tolerated empty line has come
	search  search // for the end of the head that is held
	out     []byte // what was approved and is passed next
	held    []byte // what was received and is not approved yet
	left    int64  // bytes of content left, by length
	chunks  Chunks
	pace    pace.Pace // of the content
	broken  error     // what the next Read fails with
	fault   atomic.Pointer[fault.Fault]
	midway  atomic.Bool // content has begun and is not whole, whatever the phase is now
	resting atomic.Bool // the next Close is that of a server that has waited for long enough
	one     [1]byte     // the first byte of an awaited head: until then there is no buffer

	mu    sync.Mutex // guards what follows
	outer time.Time  // the read deadline that the server asked for
	abort bool       // it was in the past when it was set: it ends a Read at once
	guard time.Time  // the Sieve's own deadline; the zero time: none runs
	both  bool       // the earlier deadline holds, not only the guard

	idling bool      // the next deadline that the server asks for is that of idleness
	restBy time.Time // when it has waited for long enough; the zero time: it waits for no head

	told bool // Slow was called, or must not be
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

// NewSieve puts a Sieve on conn. firstHead is when the first head must be whole; the zero time means never. options
// must not change while the Sieve is in use.
func NewSieve(conn net.Conn, options *Options, firstHead time.Time) *Sieve {
	s := &Sieve{Conn: conn, options: options, first: true, guard: firstHead}
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.applyDeadline() // if the connection is closed, its reader finds out
	return s
}

// TLSSieve is a Sieve on a TLS connection: net/http's server finds the state of the connection here and sets
// Request.TLS from it.
type TLSSieve struct {
	*Sieve
	state tls.ConnectionState
}

// NetConn returns the connection below.
func (s *Sieve) NetConn() net.Conn { return s.Conn }

// ConnectionState returns the state of the TLS connection below.
func (s TLSSieve) ConnectionState() tls.ConnectionState { return s.state }

// refusal is the request that the server reads in place of a refused one. No client can send it, because GET with an
// asterisk is refused.
var refusal = []byte("GET * HTTP/1.1\r\nHost: refused.invalid\r\nConnection: close\r\n\r\n")

// IsRefusal reports whether a request with this method and target, read through a Sieve, stands for one that the Sieve
// refused.
func IsRefusal(method, target string) bool { return method == "GET" && target == "*" }

// Fault returns why the Sieve refuses to read on, nil while it does not.
func (s *Sieve) Fault() *fault.Fault { return s.fault.Load() }

// Next says that the server has answered a request and is ready for another.
func (s *Sieve) Next() {
	switch s.phase {
	case between:
		s.phase, s.search, s.blank = inHead, search{}, false
		s.idle()
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
		s.dropGuard()
	}
}

// Read returns the next approved bytes; see Sieve for its errors.
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

// pass returns approved bytes. Once all were passed, nothing of them is kept, so that an idle connection holds no
// buffer.
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

// readRaw returns what was held, then what comes.
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

// refuse ends the stream with the request that stands for a refused one.
func (s *Sieve) refuse(p []byte, f *fault.Fault) (int, error) {
	s.fault.Store(f)
	s.phase, s.held, s.out = failed, nil, refusal
	s.dropGuard()
	return s.pass(p), nil
}

// fail ends the stream in the middle of content.
func (s *Sieve) fail(reason Reason) error {
	f := reason.Fault()
	s.fault.Store(f)
	s.phase, s.held, s.out = failed, nil, nil
	return f
}
