package http1

import (
	"errors"
	"os"
	"time"
)

// SetReadDeadline sets the server's own deadline. While a head is being
// received the Sieve's deadline for the head holds instead, unless t has passed
// already: that is how a blocked Read is ended from outside.
func (s *Sieve) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outer, s.abort, s.restBy = t, false, time.Time{}
	if s.idling || !t.IsZero() {
		now := time.Now()
		s.abort = !t.IsZero() && t.Before(now)
		if s.idling {
			s.idling, s.restBy = false, now.Add(RestAfter)
		}
	}
	return s.applyDeadline()
}

// SetDeadline sets both deadlines; for reading as SetReadDeadline does.
func (s *Sieve) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// startClock starts the time limit of a head, which never ends later than that of the first head.
func (s *Sieve) startClock() {
	if s.options.HeadTime <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if end := time.Now().Add(s.options.HeadTime); s.guard.IsZero() || end.Before(s.guard) {
		s.guard = end
		_ = s.applyDeadline() // if the connection is closed, its reader finds out
	}
}

// dropGuard removes the Sieve's own deadline, so that only the server's is left.
func (s *Sieve) dropGuard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.guard.IsZero() {
		s.guard, s.both = time.Time{}, false
		_ = s.applyDeadline() // if the connection is closed, its reader finds out
	}
}

// guardContent bounds the wait for content, in addition to the server's own deadline. A deadline that is already set
// and not later than due is left as it is.
func (s *Sieve) guardContent(now, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.both && s.guard.After(now) && !s.guard.After(due) {
		return
	}
	s.guard, s.both = due, true
	_ = s.applyDeadline() // if the connection is closed, its reader finds out
}

// Hurry makes by the latest time for an awaited head, including the first one, to be complete. It may be called by any
// goroutine.
func (s *Sieve) Hurry(by time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.guard.IsZero() && !s.both && by.Before(s.guard) {
		s.guard, s.told = by, true // the client is not the cause
		_ = s.applyDeadline()      // if the connection is closed, its reader finds out
	}
}

// clockRanOut reports whether err is a timeout of the Sieve's own deadline.
func (s *Sieve) clockRanOut(err error, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !errors.Is(err, os.ErrDeadlineExceeded) || s.abort || s.guard.IsZero() || now.Before(s.guard) {
		return false
	}
	return !s.both || s.outer.IsZero() || now.Before(s.outer)
}

// tell reports once that the client was too slow, unless it was only in the way of a
// shutdown.
func (s *Sieve) tell(reason Reason) {
	s.mu.Lock()
	told := s.told
	s.told = true
	s.mu.Unlock()
	if s.options.Slow != nil && !told {
		s.options.Slow(s.RemoteAddr(), reason, s.first)
	}
}

// applyDeadline sets the deadline that holds now. The caller must hold mu.
func (s *Sieve) applyDeadline() error {
	t := s.guard
	if s.abort || s.guard.IsZero() || s.both && !s.outer.IsZero() && s.outer.Before(s.guard) {
		t = s.outer
	}
	if !s.abort && !s.restBy.IsZero() && (t.IsZero() || s.restBy.Before(t)) {
		t = s.restBy
	}
	return s.Conn.SetReadDeadline(t)
}
