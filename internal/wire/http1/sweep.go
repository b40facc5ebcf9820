package http1

import "time"

// All bounds on waiting are held by one timer of the Server. A goroutine that waits says
// for what, and until when, in one atomic word of its connection; that is all it pays. The
// sweep looks at each of them, ten times a second while any does more than rest, and else
// when the first of them is due. What has waited for too long it wakes, by a deadline that
// is over; who is woken compares what it waits for with what the sweep has ended, for it
// may just have gone on.
const (
	tick     = 100 * time.Millisecond
	leastNap = 10 * time.Millisecond
	// patience is how long a request is answered before it is looked whether the client
	// is still there. With tick it bounds how long a backend works for nobody.
	patience = 100 * time.Millisecond
)

// waits is what the goroutine of a connection waits for.
type waits int64

const (
	nothing   waits = iota // that is bounded here
	resting                // the first byte of a head, or of its rest, in a goroutine of its own
	parked                 // the same, and the porter waits for it
	idle                   // the first byte of a head
	inLines                // the rest of a head
	inBody                 // content
	answering              // its handler; the request has come whole
	wentOn                 // what the sweep has ended was over
)

const waitsBits = 3

// expect says what is waited for from now on, and until when on the server's clock; 0 is for ever.
func (c *Conn) expect(phase waits, due int64) { c.state.Store(stateOf(phase, due)) }

func stateOf(phase waits, due int64) int64 { return due<<waitsBits | int64(phase) }

// awaits is what was said by expect.
func (c *Conn) awaits() (phase waits, due int64) { return parts(c.state.Load()) }

func parts(state int64) (phase waits, due int64) {
	return waits(state & (1<<waitsBits - 1)), state >> waitsBits
}

// due is when c has waited for too long; 0 is never.
func (c *Conn) due() int64 {
	phase, due := c.awaits()
	if by := c.hurry.Load(); by > 0 && c.hurries(phase) && (due == 0 || by < due) {
		return by
	}
	return due
}

// hurries tells whether a phase is one that Hurry is about.
func (c *Conn) hurries(phase waits) bool {
	return phase == inLines || (phase == resting || phase == parked) && (!c.served.Load() || c.partial.Load() != nil)
}

// isLate tells whether c has waited for too long.
func (c *Conn) isLate() bool {
	due := c.due()
	return due > 0 && due <= c.server.now()
}

// Hurry gives a head that is under way, and the first one, until the time by at most. It
// may be called by any goroutine.
func (c *Conn) Hurry(by time.Time) {
	at := max(1, int64(by.Sub(c.server.start)))
	c.hurry.Store(at)
	if phase, _ := c.awaits(); c.hurries(phase) {
		c.told.Store(true) // it is not the client that is slow
	}
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.server.arm(at)
}

// arm lets the sweep run at a time, 0 being never, or sooner. The caller has locked mu.
func (s *Server) arm(at int64) {
	if at == 0 || s.ended || s.armed > 0 && s.armed <= at {
		return
	}
	s.armed = at
	in := max(0, time.Duration(at-s.now()))
	if s.timer == nil {
		s.timer = time.AfterFunc(in, s.sweep)
	} else {
		s.timer.Reset(in)
	}
}

// stir sees to it that the sweep runs while a connection does more than rest.
func (s *Server) stir() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arm(s.now() + int64(tick))
}

// sweep looks at all connections, and says when it comes again.
func (s *Server) sweep() {
	s.cohort.look()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.armed = 0
	if s.ended {
		return
	}
	now := s.now()
	next := int64(0)
	for c := range s.conns {
		if at := c.look(now); at > 0 && (next == 0 || at < next) {
			next = at
		}
	}
	if next > 0 {
		s.arm(max(next, now+int64(leastNap)))
	}
}

// look ends what has waited for too long, and says when to look again; 0 is never. The
// caller has locked server.mu.
func (c *Conn) look(now int64) int64 {
	state := c.state.Load()
	phase, _ := parts(state)
	due := c.due()
	late := due > 0 && now >= due
	soon := now + int64(tick)
	switch {
	case phase == parked:
		if !late {
			return due
		}
		c.server.unpark(c)
		if c.lingers {
			c.server.idle.Go(c.close)
			return soon
		}
		c.interrupt(c.state.Load())
		c.server.idle.Go(c.attend) // who learns that it is late
	case phase == resting && !late && !c.parks():
		return due
	case phase == resting, phase == inLines:
		if late || c.seen == state {
			c.interrupt(state) // it may be parked now, or set aside
		}
		c.seen = state
	case phase == idle && due == 0: // since the last look: who asks again at once need not look at the clock
		c.state.CompareAndSwap(state, stateOf(idle, now+int64(c.server.options.KeepAlive)))
	case phase == idle:
		if late || now >= due-int64(c.server.options.KeepAlive)+int64(RestAfter) {
			c.interrupt(state)
		}
	case phase == answering:
		if late {
			c.check(state)
		}
	case late:
		c.interrupt(state)
	}
	return soon
}

// interrupt wakes the goroutine that waits in that state.
func (c *Conn) interrupt(state int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Load() == state {
		c.interrupted = state
		_ = c.net.SetReadDeadline(past) // a closed connection tells its reader
	}
}

// woken tells whether a read has failed because of the sweep, and in which phase: wentOn
// where that has meant an earlier one, and the read is to be tried again.
func (c *Conn) woken(err error) (phase waits, woken bool) {
	if !timedOut(err) {
		return 0, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.interrupted == 0 {
		return 0, false // the handler's own deadline
	}
	ended := c.interrupted
	c.interrupted = 0
	_ = c.net.SetReadDeadline(c.outer) // a closed connection tells its reader
	if ended != c.state.Load() {
		return wentOn, true
	}
	phase, _ = parts(ended)
	return phase, true
}
