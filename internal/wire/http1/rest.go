package http1

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"
)

// RestAfter is how long a server waits for a head before the Sieve is taken from it.
// It is long for a client that has just been answered and asks again, so that those
// never pay for what being taken away and handed back costs, and short beside the
// time that idle connections are kept.
const RestAfter = 50 * time.Millisecond

// errResting is what a server reads that has waited for long enough. It closes the Sieve then.
var errResting = errors.New("the connection rests")

// Await receives until the server has something to read: a whole head, what stands
// for a refused one, or the beginning of another protocol. A server that waited for
// it would hold buffers of its own meanwhile and the stack of its handlers; Await
// holds what has come. It belongs before a server is handed the connection, and stands
// in the place of Read. An error means that nothing comes; the caller closes the
// connection.
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

// Handed is what a server is handed: s, or over TLS something that tells it so.
func (s *Sieve) Handed() net.Conn {
	if secured, ok := s.Conn.(*tls.Conn); ok {
		return TLSSieve{s, secured.ConnectionState()}
	}
	return s
}

// Over puts s over conn, which lies below what it was over. Nobody may be writing.
func (s *Sieve) Over(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Conn = conn
}

// idle notes that the server waits for another head from now on.
func (s *Sieve) idle() {
	if s.options.Rest == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idling = true
}

// beginRest leaves the deadlines of idleness and of heads. It is not for Await to do,
// whose stack is as small as they come.
func (s *Sieve) beginRest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restBy = time.Time{}
	_ = s.applyDeadline() // a closed connection tells its reader
}

// endRest drops the deadline of idleness, as the server does that waits for itself.
func (s *Sieve) endRest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outer, s.abort = time.Time{}, false
	_ = s.applyDeadline() // a closed connection tells its reader
}

// mayRest tells whether err is what a Read of the server's failed with because a head
// was awaited for long enough. Close then lets the connection rest.
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

// over tells whether a deadline is over; the zero time is none.
func over(deadline, now time.Time) bool { return !deadline.IsZero() && !now.Before(deadline) }
