package http1

import "bytes"

// An idle connection is with the porter, on systems that have one. It then has no goroutine, and consists only of its
// socket and its bounds. Without a porter, or until it is certain that no received bytes are left above the socket, a
// small goroutine waits. A connection whose head comes slowly waits in the same way, with what has arrived of it.

// partial is the part of a head that has arrived, while the rest is awaited without a turn.
type partial struct {
	b     []byte
	blank bool  // an empty line came before it
	begun int64 // when its first byte was there, on the server's clock
	due   int64 // when all of it must be there; 0: never
}

// setAside keeps what has arrived of a head, and has the rest awaited as if it were the beginning.
func (c *Conn) setAside(t *turn, blank bool) {
	_, due := c.awaits()
	c.partial.Store(&partial{b: bytes.Clone(t.in.b), blank: blank, begun: t.begun, due: due})
	c.expect(resting, due)
}

// takeUp resumes a head that was set aside, of which more has arrived, or begins one. It reports whether an empty line
// came before the head, and whether it was resumed.
func (c *Conn) takeUp(t *turn) (blank, resumed bool) {
	p := c.partial.Swap(nil)
	if p == nil {
		if t.unsent == nil { // otherwise it begins once that was sent
			c.headBegins(t)
		}
		return false, false
	}
	t.begun = p.begun
	c.expect(inLines, p.due)
	return p.blank, true
}

// turn lends c a turn that holds what has arrived of a head.
func (c *Conn) turn() *turn {
	t, _ := c.server.turns.Get().(*turn)
	if p := c.partial.Load(); p != nil {
		t.in.add(p.b...)
	}
	return t
}

// rest lets c wait for a head. A read of c must just have found nothing.
func (s *Server) rest(c *Conn) {
	if !s.park(c) {
		s.wait(c)
	}
}

// wait lets c wait for a head on a fresh stack: one that handlers have grown would stay as large as it is.
func (s *Server) wait(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.idle.Go(c.attend)
	}
}

// attend waits for the first byte of a head, without a buffer, and has what follows served.
func (c *Conn) attend() {
	c.ctx, c.peer = nil, "" // most resting connections send no further request
	for !c.server.retired.Load() {
		n, err := c.net.Read(c.one[:])
		switch {
		case n > 0:
			go c.begin() // Close does not wait for handlers
			return
		case !c.lasts(err):
			return
		case c.server.park(c):
			return
		}
	}
	c.close()
}

// begin serves a connection on which a byte has arrived.
func (c *Conn) begin() {
	c.server.stir()
	t := c.turn()
	t.in.add(c.one[0])
	c.serve(t)
}

// park leaves c to the porter, and returns false if that is not possible. A read of c must just have found nothing.
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

// parks reports whether a porter could wait for c.
func (c *Conn) parks() bool { return parks && c.socket != nil }

// hasPorter reports whether there is a porter. The first connection that rests starts it. The caller must hold mu.
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

// unpark takes c back from the porter. c then rests, or still lingers, and the caller must have a goroutine attend to
// it. The caller must hold mu.
func (s *Server) unpark(c *Conn) {
	if s.parked[c.fd] == c {
		delete(s.parked, c.fd)
	}
	c.seen = 0
	_, due := c.awaits()
	if c.lingers {
		c.expect(nothing, due) // it waits for no head
		return
	}
	c.expect(resting, due)
}

// wake is called by the porter with the sockets on which bytes or their end have arrived.
func (s *Server) wake(fds []int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	for _, fd := range fds {
		if c := s.parked[fd]; c != nil { // otherwise it was taken back already
			s.unpark(c)
			s.idle.Add(1)
			go c.rise()
		}
	}
	s.arm(s.now() + int64(tick))
}

// rise serves what has arrived on a connection that was parked, if that is part of a head.
func (c *Conn) rise() {
	s := c.server
	if c.lingers {
		s.idle.Done() // Close need not wait: what it closes does not linger
		c.swallow()
		return
	}
	t := c.turn()
	n, err := t.in.fill(c.net)
	if n > 0 {
		s.idle.Done() // Close does not wait for handlers
		c.serve(t)
		return
	}
	defer s.idle.Done()
	s.lendAgain(t)
	if c.lasts(err) {
		s.rest(c)
	}
}

// lasts reports whether c continues to rest although a read of it has failed. If not, c is closed.
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
			go c.giveUp() // Close does not wait for handlers
			return false
		}
	}
	c.close()
	return false
}

// giveUp has the handler tell the client that its head has not arrived in time.
func (c *Conn) giveUp() {
	t, _ := c.server.turns.Get().(*turn)
	if p := c.partial.Swap(nil); p != nil {
		t.begun = p.begun
	}
	c.part(t, c.refuse(t, HeadIncomplete.Fault()))
}
