package http1

import "time"

// One timer of the Client stands for all of its waits: ten times a second while there are
// requests under way it closes the connections of those whose contexts have ended, so that
// none of them pays for a goroutine or a callback of its own, and it closes what has been
// unused for too long.

// tick sees to it that the patrol comes soon, and again while a round is under way. The caller has locked mu.
func (c *Client) tick() {
	if !c.ticking {
		c.ticking = true
		c.wake(tick)
	}
}

// wake lets the patrol come after d. The caller has locked mu.
func (c *Client) wake(d time.Duration) {
	if c.timer == nil {
		c.timer = time.AfterFunc(d, c.patrol)
	} else {
		c.timer.Reset(d)
	}
}

// patrol looks at all connections, and says when it comes again.
func (c *Client) patrol() {
	cohorts.look()
	c.mu.Lock()
	busy := false
	for l := range c.links {
		busy = l.look() || busy
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
	for _, l := range old {
		l.close()
	}
}

// look ends the round on l if its context has ended, and tells whether there is one. The caller has locked client.mu: see
// tellReleased.
func (l *link) look() bool {
	switch r := l.round; {
	case r == nil || r == l.client.cutOff:
		return false
	case r.ctx.Err() == nil:
		return true
	}
	l.round = l.client.cutOff
	_ = l.below.Close() // who reads or writes learns of it
	return false
}
