package http2

import (
	"errors"
	"os"
	"time"
)

// Setting a system deadline costs as much as the rest of the Meter, so it is done rarely. The Meter records itself what
// must have arrived by when. The armed deadline may be an earlier one, of something that has arrived in the meantime;
// it is checked again when it fires.

// SetReadDeadline sets the server's own deadline, in addition to those of the Meter.
func (m *Meter) SetReadDeadline(t time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.outer = t
	return m.applyDeadline()
}

// SetDeadline sets both deadlines; the read deadline as SetReadDeadline does.
func (m *Meter) SetDeadline(t time.Time) error {
	return errors.Join(m.SetReadDeadline(t), m.SetWriteDeadline(t))
}

// applyDeadline sets the deadline that applies now. The caller has locked mu.
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
	_ = m.applyDeadline() // a closed connection reports its error to the reader
}

// watch makes sure that a head that has begun has a deadline.
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

// awaitsHead reports whether a head has begun and is not complete: until it is, nothing else can be read from the
// connection.
func (m *Meter) awaitsHead() bool {
	if m.block.open || m.in.inHead() {
		return true
	}
	return m.in.inPayload() && (m.in.frame.Type == Headers || m.in.frame.Type == Continuation)
}

// due returns the time by which the client must have sent what is awaited, and the reason to give if it is too slow;
// the zero time if nothing is awaited.
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

// tooLate examines a failed Read. It returns what the client was too slow for, None if it was not too slow. It also
// reports whether to read again, because the deadline that fired was for something that has arrived.
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
