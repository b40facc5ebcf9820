package http1

import (
	"errors"
	"time"
)

// SetReadDeadline sets the server's own deadline. While a head is being
// received the Sieve's deadline for the head holds instead, unless t has passed
// already: that is how a blocked Read is ended from outside.
func (s *Sieve) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outer, s.abort = t, !t.IsZero() && t.Before(time.Now())
	return s.applyDeadline()
}

// SetDeadline sets both deadlines; for reading as SetReadDeadline does.
func (s *Sieve) SetDeadline(t time.Time) error {
	return errors.Join(s.SetReadDeadline(t), s.SetWriteDeadline(t))
}

// startClock begins the time of a head, which never ends later than the time of the first one.
func (s *Sieve) startClock() {
	if s.options.HeadTime <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if end := time.Now().Add(s.options.HeadTime); s.guard.IsZero() || end.Before(s.guard) {
		s.guard = end
		_ = s.applyDeadline() // a closed connection tells its reader
	}
}

// dropGuard leaves only the server's own deadline.
func (s *Sieve) dropGuard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.guard.IsZero() {
		s.guard, s.both = time.Time{}, false
		_ = s.applyDeadline() // a closed connection tells its reader
	}
}

// guardContent bounds the wait for content, beside the server's own deadline.
func (s *Sieve) guardContent(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.guard, s.both = t, true
	_ = s.applyDeadline() // a closed connection tells its reader
}

// Hurry gives a head that is awaited, the first one included, until the time by
// at most. It may be called by any goroutine.
func (s *Sieve) Hurry(by time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.guard.IsZero() && !s.both && by.Before(s.guard) {
		s.guard = by
		_ = s.applyDeadline() // a closed connection tells its reader
	}
}

// applyDeadline sets the deadline that holds now. The caller has locked mu.
func (s *Sieve) applyDeadline() error {
	if s.abort || s.guard.IsZero() || s.both && !s.outer.IsZero() && s.outer.Before(s.guard) {
		return s.Conn.SetReadDeadline(s.outer)
	}
	return s.Conn.SetReadDeadline(s.guard)
}
