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

// look ends the round on l if its context has ended, and reports whether one is still under way. The caller must hold
// client.mu: see tellReleased.
func (l *link) look() bool {
	switch r := l.round; {
	case r == nil || r == l.client.cutOff:
		return false
	case r.ctx.Err() == nil:
		return true
	}
	l.round = l.client.cutOff
	_ = l.below.Close() // its reader or writer gets an error
	return false
}
