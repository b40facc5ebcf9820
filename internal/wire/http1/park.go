package http1

import "bytes"

// A connection that asks nothing is with the porter where there is one: no goroutine is
// its own then, and it consists of what a socket and its bounds are. Where there is none,
// and until nothing that has come can be left above the socket, a small goroutine waits.
// One whose head is slow in coming waits there too, with what has come of it.

// partial is what has come of a head whose rest is waited for without a turn.
type partial struct {
	b     []byte
	blank bool  // an empty line came before it
	begun int64 // when the first of it was there, on the server's clock
	due   int64 // when all of it must be; 0: never
}

// setAside keeps what has come of a head, and lets the rest be waited for as if it were the first of it.
func (c *Conn) setAside(t *turn, blank bool) {
	_, due := c.awaits()
	c.partial.Store(&partial{b: bytes.Clone(t.in.b), blank: blank, begun: t.begun, due: due})
	c.expect(resting, due)
}

// takeUp goes on with a head that was set aside, of which more has come, or begins with one. It tells whether an empty
// line came before it, and whether there was one.
func (c *Conn) takeUp(t *turn) (blank, resumed bool) {
	p := c.partial.Swap(nil)
	if p == nil {
		c.headBegins(t)
		return false, false
	}
	t.begun = p.begun
	c.expect(inLines, p.due)
	return p.blank, true
}

// turn lends c a turn, in which is what has come of a head.
func (c *Conn) turn() *turn {
	t, _ := c.server.turns.Get().(*turn)
	if p := c.partial.Load(); p != nil {
		t.in.add(p.b...)
	}
	return t
}

// rest lets c wait for a head. A read of it has just found nothing.
func (s *Server) rest(c *Conn) {
	if !s.park(c) {
		s.wait(c)
	}
}

// wait lets c wait for a head on a fresh stack: the one that handlers have grown would
// stay as large as it is.
func (s *Server) wait(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.idle.Go(c.attend)
	}
}

// attend waits for the first byte of a head, without a buffer, and has what follows
// served.
func (c *Conn) attend() {
	c.ctx, c.peer = nil, "" // most that rest ask nothing any more
	for !c.server.retired.Load() {
		n, err := c.net.Read(c.one[:])
		switch {
		case n > 0:
			go c.begin() // Close does not wait for what handlers do
			return
		case !c.lasts(err):
			return
		case c.server.park(c):
			return
		}
	}
	c.close()
}

// begin serves a connection on which something has come.
func (c *Conn) begin() {
	c.server.stir()
	t := c.turn()
	t.in.add(c.one[0])
	c.serve(t)
}

// park leaves c to the porter, and tells false where that cannot be. A read of it has just
// found nothing.
func (s *Server) park(c *Conn) bool {
	if !c.parks() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.retired.Load() || !s.hasPorter() {
		return false
	}
	fd, err := s.porter.watch(c.socket)
	if err != nil {
		return false
	}
	c.fd, c.ctx, c.peer = fd, nil, ""
	s.parked[fd] = c
	_, due := c.awaits()
	c.expect(parked, due)
	s.arm(c.due())
	return true
}

// parks tells whether a porter could wait for c.
func (c *Conn) parks() bool { return parks && c.socket != nil }

// hasPorter tells whether there is a porter, who is called for the first connection that
// rests. The caller has locked mu.
func (s *Server) hasPorter() bool {
	if s.porter == nil {
		p, err := newPorter()
		if err != nil {
			return false
		}
		s.porter, s.parked = p, map[int32]*Conn{}
		s.idle.Go(func() { p.run(s.wake) })
	}
	return true
}

// unpark takes c back from the porter; it rests, and somebody has to wait for it. The
// caller has locked mu.
func (s *Server) unpark(c *Conn) {
	if s.parked[c.fd] == c {
		delete(s.parked, c.fd)
	}
	c.seen = 0
	_, due := c.awaits()
	if c.lingers {
		c.expect(nothing, due) // no head
		return
	}
	c.expect(resting, due)
}

// wake is told by the porter on which sockets something has come, or their end.
func (s *Server) wake(fds []int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	for _, fd := range fds {
		if c := s.parked[fd]; c != nil { // else it has been taken back already
			s.unpark(c)
			s.idle.Add(1)
			go c.rise()
		}
	}
	s.arm(s.now() + int64(tick))
}

// rise serves what has come on a connection that was parked, if it is a part of a head.
func (c *Conn) rise() {
	s := c.server
	if c.lingers {
		s.idle.Done() // what Close closes does not linger
		c.swallow()
		return
	}
	t := c.turn()
	n, err := t.in.fill(c.net)
	if n > 0 {
		s.idle.Done() // Close does not wait for what handlers do
		c.serve(t)
		return
	}
	defer s.idle.Done()
	s.lendAgain(t)
	if c.lasts(err) {
		s.rest(c)
	}
}

// lasts tells whether c rests on though a read of it has failed. Otherwise it is closed.
func (c *Conn) lasts(err error) bool {
	phase, woken := c.woken(err)
	if woken {
		if phase == wentOn || !c.isLate() {
			return true
		}
		p := c.partial.Load()
		if p != nil || !c.served.Load() {
			c.slow(HeadIncomplete)
		}
		if p != nil && len(p.b) > 0 {
			go c.giveUp() // Close does not wait for what handlers do
			return false
		}
	}
	c.close()
	return false
}

// giveUp has the handler tell the client that too little of its head has come.
func (c *Conn) giveUp() {
	t, _ := c.server.turns.Get().(*turn)
	if p := c.partial.Swap(nil); p != nil {
		t.begun = p.begun
	}
	c.part(t, c.refuse(t, HeadIncomplete.Fault()))
}
