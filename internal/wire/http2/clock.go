package http2

import (
	"errors"
	"os"
	"time"
)

// A deadline of the system is set rarely, for it costs as much as the rest of the
// Meter. What must have come by when is kept here instead; the deadline that is
// armed may be an earlier one of something that has come meanwhile, and is looked
// at again when it fires.

// SetReadDeadline sets the server's own deadline, beside those of the Meter.
func (m *Meter) SetReadDeadline(t time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.outer = t
	return m.applyDeadline()
}

// SetDeadline sets both deadlines; for reading as SetReadDeadline does.
func (m *Meter) SetDeadline(t time.Time) error {
	return errors.Join(m.SetReadDeadline(t), m.SetWriteDeadline(t))
}

// applyDeadline sets the deadline that holds now. The caller has locked mu.
func (m *Meter) applyDeadline() error {
	if m.armed.IsZero() || !m.outer.IsZero() && m.outer.Before(m.armed) {
		return m.Conn.SetReadDeadline(m.outer)
	}
	return m.Conn.SetReadDeadline(m.armed)
}

func (m *Meter) arm(t time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.armed = t
	_ = m.applyDeadline() // a closed connection tells its reader
}

// watch sees to it that what is awaited now has a deadline.
func (m *Meter) watch() {
	if !m.awaitsHead() {
		m.headBy = time.Time{}
		return
	}
	if !m.headBy.IsZero() || m.options.HeadTime <= 0 {
		return
	}
	now := time.Now()
	m.headBy = now.Add(m.options.HeadTime)
	if m.armed.Before(now) {
		m.arm(m.headBy)
	}
}

// awaitsHead tells that a head has begun and is not whole: nothing else of the
// connection can be read before it is.
func (m *Meter) awaitsHead() bool {
	if m.block.open || m.in.inHead() {
		return true
	}
	return m.in.inPayload() && (m.in.frame.Type == Headers || m.in.frame.Type == Continuation)
}

// due gives the time by which the client must have sent what is awaited, and what
// it is too slow for otherwise; the zero time where nothing is.
func (m *Meter) due() (time.Time, Reason) {
	switch {
	case !m.firstBy.IsZero() && (m.headBy.IsZero() || !m.firstBy.After(m.headBy)):
		return m.firstBy, FirstRequest
	case !m.headBy.IsZero():
		return m.headBy, HeadTime
	default:
		return time.Time{}, None
	}
}

// tooLate looks at a Read that failed. It gives what the client was too slow for,
// None where it was not, and tells whether to read again, for the deadline that
// fired was of something that has come.
func (m *Meter) tooLate(err error) (r Reason, again bool) {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return None, false
	}
	now := time.Now()
	m.mu.Lock()
	own := !m.armed.IsZero() && !now.Before(m.armed)
	others := !m.outer.IsZero() && !now.Before(m.outer)
	m.mu.Unlock()
	if others || !own {
		return None, false
	}
	due, r := m.due()
	if r != None && !now.Before(due) {
		return r, false
	}
	m.arm(due)
	return None, true
}
