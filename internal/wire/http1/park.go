package http1

// A connection that asks nothing is with the porter where there is one: no goroutine is
// its own then, and it consists of what a socket and its bounds are. Where there is none,
// and until nothing that has come can be left above the socket, a small goroutine waits.

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
	t, _ := c.server.turns.Get().(*turn)
	t.in.b = append(t.in.b[:0], c.one[0])
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

// rise serves what has come on a connection that was parked, if it is part of a head.
func (c *Conn) rise() {
	s := c.server
	t, _ := s.turns.Get().(*turn)
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
		if due := c.due(); phase == wentOn || due == 0 || due > c.server.now() {
			return true
		}
		if !c.served.Load() {
			c.slow(HeadIncomplete)
		}
	}
	c.close()
	return false
}
