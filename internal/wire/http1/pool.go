package http1

import (
	"slices"
	"time"
)

// shelf holds the unused connections for one host. It exists while there is any connection to that host. The connection
// that was used last is used first, so that connections which are no longer needed grow old.
type shelf struct {
	host  string
	links []*link
	all   int // connections to the host, including those in use
}

// shelfOf returns the shelf for a host, nil if there is none. The shelf asked for last is mostly asked for again. The
// caller must hold mu.
func (c *Client) shelfOf(host string) *shelf {
	if s := c.latest; s != nil && s.host == host {
		return s
	}
	s := c.shelves[host]
	if s != nil {
		c.latest = s
	}
	return s
}

// take puts r on the connection that was used last, without checking that it is still alive, and reports whether there
// is one. The patrol closes connections that have rested for too long.
func (c *Client) take(r *round, host string) bool {
	c.mu.Lock()
	l := c.pick(host)
	if l != nil {
		c.put(r, l)
	}
	c.mu.Unlock()
	r.reused = l != nil
	return r.reused
}

// pick takes the connection for a host that was used last off its shelf. The caller must hold mu.
func (c *Client) pick(host string) *link {
	s := c.shelfOf(host)
	if s == nil {
		return nil
	}
	for i, l := range slices.Backward(s.links) {
		if l.until == 0 || c.now() < l.until {
			copy(s.links[i:], s.links[i+1:])
			s.links[len(s.links)-1] = nil
			s.links = s.links[:len(s.links)-1]
			return l
		}
	}
	return nil
}

// put starts r on l. The caller must hold mu.
func (c *Client) put(r *round, l *link) {
	r.link, l.round = l, r
	if r.room == nil {
		r.room, l.room = l.room, nil
	}
	if l.tls != nil {
		r.before = l.wroteBelow()
	}
	c.tick()
}

// end ends the round on l, and reports whether the patrol had not done so before. The caller must hold mu.
func (l *link) end() bool {
	own := l.round != l.client.cutOff
	l.round = nil
	return own
}

// keep ends the round on l and puts l back, with the memory that was lent to it, which the next round there will need.
// It may rest for d at most, counted from when the patrol sees it: most links are taken again before that, and need no
// look at the clock. If l may not rest, keep returns false and the caller closes it.
func (c *Client) keep(l *link, in *room, d time.Duration) bool {
	c.mu.Lock()
	s := l.shelf
	keeps := l.end() && d > 0 && len(s.links) < c.options.IdlePerHost
	if keeps {
		l.until, l.rest, l.room = 0, d, in
		s.links = append(s.links, l)
	}
	c.mu.Unlock()
	return keeps
}

// askAfter is how often unused connections are asked whether their other side has left, so that a connection which the
// other side has closed is not held for as long as it might have been used.
const askAfter = 500 * time.Millisecond

// rested takes off their shelves the connections that have been there for too long or have ended. It returns them, and
// when to look again; 0 is never. The caller must hold mu.
func (c *Client) rested(now time.Duration) (old []*link, next time.Duration) {
	asks := now >= c.asked+askAfter
	if asks {
		c.asked = now
	}
	for _, s := range c.shelves {
		s.links = slices.DeleteFunc(s.links, func(l *link) bool {
			l.rests(now)
			switch {
			case l.until <= now || asks && !l.peek.IsQuiet():
				old = append(old, l)
				return true
			case next == 0 || l.until < next:
				next = l.until
			}
			return false
		})
	}
	if next > 0 {
		next = min(next, c.asked+askAfter)
	}
	return old, next
}

// rests starts the rest of a link that is unused when the patrol comes, and gives back its memory, which it does not
// need meanwhile.
func (l *link) rests(now time.Duration) {
	if l.until > 0 {
		return
	}
	l.until, l.gather = now+l.rest, gather{}
	if l.room != nil {
		l.client.rooms.Put(l.room)
		l.room = nil
	}
}
