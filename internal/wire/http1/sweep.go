package http1

import "time"

// One timer of the Server enforces all bounds on waiting. A goroutine that waits records for what, and until when, in
// one atomic word of its connection; that is all it costs. The sweep looks at all connections ten times a second while
// any of them does more than rest, and otherwise when the first of them is due. It wakes a goroutine that has waited
// too long by setting a read deadline in the past. The goroutine then compares what it waits for with the wait that the
// sweep has ended, because it may just have gone on.
const (
	tick     = 100 * time.Millisecond
	leastNap = 10 * time.Millisecond
	// patience is how long a request is being answered before the server checks whether the client is still there.
	// Together with tick it bounds how long a backend works for a client that has left.
	patience = 100 * time.Millisecond
)

// waits is what the goroutine of a connection waits for.
type waits int64

const (
	nothing   waits = iota // nothing that has a bound here
	resting                // the first byte of a head, or of its rest, in a goroutine of its own
	parked                 // the same, in the porter
	idle                   // the first byte of a head, with a turn
	inLines                // the rest of a head
	inBody                 // content
	answering              // its handler; the whole request has arrived
	posted                 // the first byte of a head, once an outbox has sent its response
	wentOn                 // the wait that the sweep ended was already over; no connection is in this state
)

const waitsBits = 3

// expect records what c waits for from now on, and until when on the server's clock; 0 is for ever.
func (c *Conn) expect(phase waits, due int64) { c.state.Store(stateOf(phase, due)) }

func stateOf(phase waits, due int64) int64 { return due<<waitsBits | int64(phase) }

// awaits returns what expect recorded.
func (c *Conn) awaits() (phase waits, due int64) { return parts(c.state.Load()) }

func parts(state int64) (phase waits, due int64) {
	return waits(state & (1<<waitsBits - 1)), state >> waitsBits
}

// due returns when c has waited for too long; 0 is never.
func (c *Conn) due() int64 {
	phase, due := c.awaits()
	if by := c.hurry.Load(); by > 0 && c.hurries(phase) && (due == 0 || by < due) {
		return by
	}
	return due
}

// hurries reports whether a phase is one that Hurry applies to.
func (c *Conn) hurries(phase waits) bool {
	return phase == inLines || (phase == resting || phase == parked) && (!c.served.Load() || c.partial.Load() != nil)
}

// isLate reports whether c has waited for too long.
func (c *Conn) isLate() bool {
	due := c.due()
	return due > 0 && due <= c.server.now()
}

// Hurry makes by the latest time for a head that is under way, and for the first one, to be complete. It may be called
// by any goroutine.
func (c *Conn) Hurry(by time.Time) {
	at := max(1, int64(by.Sub(c.server.start)))
	c.hurry.Store(at)
	if phase, _ := c.awaits(); c.hurries(phase) {
		c.told.Store(true) // the client is not the cause
	}
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.server.arm(at)
}

// arm makes the sweep run at a time or sooner; 0 is never. The caller must hold mu.
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

// stir makes the sweep run within a tick, because a connection now does more than rest.
func (s *Server) stir() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arm(s.now() + int64(tick))
}

// sweep looks at all connections and schedules its next run.
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

// look ends a wait of c that has lasted too long, and returns when to look again; 0 is never. The caller must hold
// server.mu.
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
		c.server.idle.Go(c.attend) // which finds out that it is late
	case phase == resting && !late && !c.parks():
		return due
	case phase == resting, phase == inLines:
		if late || c.seen == state {
			c.interrupt(state) // it can now be parked, or its head set aside
		}
		c.seen = state
	case phase == idle && due == 0: // since the last look; a client that asks again at once needs no look at the clock
		c.state.CompareAndSwap(state, stateOf(idle, now+int64(c.server.options.KeepAlive)))
	case phase == idle:
		if late || now >= due-int64(c.server.options.KeepAlive)+int64(RestAfter) {
			c.interrupt(state)
		}
	case phase == posted && due == 0: // since the last look, as above
		c.state.CompareAndSwap(state, stateOf(posted, soon))
	case phase == answering:
		if late {
			c.check(state)
		}
	case late:
		c.interrupt(state)
	}
	return soon
}

// interrupt wakes the goroutine of c if it still waits in that state.
func (c *Conn) interrupt(state int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Load() == state {
		c.interrupted = state
		_ = c.net.SetReadDeadline(past) // if the connection is closed, its reader finds out
	}
}

// woken reports whether a read has failed because of the sweep, and in which phase. The phase is wentOn if the sweep
// has ended an earlier wait; the read must then be retried.
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
	_ = c.net.SetReadDeadline(c.outer) // if the connection is closed, its reader finds out
	if ended != c.state.Load() {
		return wentOn, true
	}
	phase, _ = parts(ended)
	return phase, true
}
