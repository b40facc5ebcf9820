package http1

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"
)

// RestAfter is how long a server waits for a head before the Sieve is taken from it. It is long for a client that has
// just been answered and asks again, so that such a client never pays for the Sieve being taken away and handed back.
// It is short compared with the time that idle connections are kept.
const RestAfter = 50 * time.Millisecond

// errResting is what a server's Read fails with when it has waited for long enough. The server then closes the Sieve.
var errResting = errors.New("the connection rests")

// Await receives until the server has something to read: a whole head, the request that stands for a refused one, or
// the beginning of another protocol. A server that waited for it would meanwhile hold buffers of its own and the stack
// of its handlers; Await holds only what has arrived. It is called before a server is handed the connection, in place
// of Read. An error means that nothing comes; the caller closes the connection.
func (s *Sieve) Await() error {
	if s.phase != inHead {
		return nil
	}
	if len(s.held) == 0 {
		n, err := s.Conn.Read(s.one[:])
		if n == 0 {
			if s.clockRanOut(err, time.Now()) {
				s.tell(HeadIncomplete)
			}
			return err //nolint:wrapcheck // as Read
		}
		s.held = append(make([]byte, 0, leastRoom), s.one[0])
		s.startClock()
	}
	if _, err := s.assembleHead(nil); err != nil {
		return err
	}
	s.endRest()
	return nil
}

// Handed returns what a server is handed: s, or, over TLS, a TLSSieve, which has the state of the TLS connection.
func (s *Sieve) Handed() net.Conn {
	if secured, ok := s.Conn.(*tls.Conn); ok {
		return TLSSieve{s, secured.ConnectionState()}
	}
	return s
}

// Over puts s on conn, a connection that lies below the one that s was on. Nobody may be writing.
func (s *Sieve) Over(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Conn = conn
}

// idle records that the server waits for another head from now on.
func (s *Sieve) idle() {
	if s.options.Rest == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idling = true
}

// beginRest removes the deadline of RestAfter, and leaves those of idleness and of heads. Await does not do this
// itself, to keep its stack as small as possible.
func (s *Sieve) beginRest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restBy = time.Time{}
	_ = s.applyDeadline() // if the connection is closed, its reader finds out
}

// endRest removes the deadline of idleness, as a server does that waits itself.
func (s *Sieve) endRest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outer, s.abort = time.Time{}, false
	_ = s.applyDeadline() // if the connection is closed, its reader finds out
}

// mayRest reports whether err made a Read of the server fail because a head was awaited for long enough. Close then
// lets the connection rest.
func (s *Sieve) mayRest(err error) bool {
	if s.options.Rest == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.restBy.IsZero() || s.abort || now.Before(s.restBy) || over(s.guard, now) || over(s.outer, now) {
		return false
	}
	s.resting.Store(true)
	return true
}

// over reports whether a deadline has passed; the zero time is none.
func over(deadline, now time.Time) bool { return !deadline.IsZero() && !now.Before(deadline) }
