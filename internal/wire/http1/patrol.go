package http1

import "time"

// One timer of the Client serves all of its waits. Ten times a second while requests are under way, it closes the
// connections of those whose contexts have ended, so that no request pays for a goroutine or a callback of its own. It
// also closes connections that have been unused for too long.

// tick makes the patrol run within a tick, and again while a round is under way. The caller must hold mu.
func (c *Client) tick() {
	if !c.ticking {
		c.ticking = true
		c.wake(tick)
	}
}

// wake makes the patrol run after d. The caller must hold mu.
func (c *Client) wake(d time.Duration) {
	if c.timer == nil {
		c.timer = time.AfterFunc(d, c.patrol)
	} else {
		c.timer.Reset(d)
	}
}

// patrol looks at all connections and schedules its next run.
func (c *Client) patrol() {
	cohorts.look()
	c.mu.Lock()
	busy, cut := false, []*link(nil)
	for l := range c.links {
		switch goesOn, ended := l.look(); {
		case goesOn:
			busy = true
		case ended:
			cut = append(cut, l)
		}
	}
	now := c.now()
	old, next := c.rested(now)
	c.ticking = busy
	switch {
	case busy:
		c.wake(tick)
	case next > 0:
		c.wake(max(next-now, leastNap))
	}
	c.mu.Unlock()
	for _, l := range cut {
		_ = l.below.Close() // its reader or writer gets an error
	}
	for _, l := range old {
		l.close()
	}
}

// look reports whether the round on l goes on, or its context has ended just now. In the latter case the caller must
// close the connection once it no longer holds client.mu: a socket is only closed when its reader has let go of it. The
// caller must hold client.mu now: see tellReleased.
func (l *link) look() (goesOn, ended bool) {
	switch r := l.round; {
	case r == nil || r == l.client.cutOff:
		return false, false
	case r.ctx.Err() == nil:
		return true, false
	}
	l.round = l.client.cutOff
	return false, true
}
