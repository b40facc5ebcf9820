package http1

import (
	"slices"
	"time"
)

// shelf holds the unused connections for one host. The one that was used last is used
// first, so that those which are not needed any more grow old.
type shelf struct{ links []*link }

// take takes the connection that was used last, whatever has become of it; nil where there is none. Those that have
// rested for too long are the patrol's to close.
func (c *Client) take(host string) *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.idle[host]
	if s == nil {
		return nil
	}
	for i, l := range slices.Backward(s.links) {
		if l.until == 0 || c.now() < l.until {
			s.links = slices.Delete(s.links, i, i+1)
			return l
		}
	}
	return nil
}

// keep puts a connection back that no request uses any more. It may rest for d at most, from when the patrol sees it: most are taken again
// before, and need no look at the clock. One that may not rest at all is closed.
func (c *Client) keep(l *link, d time.Duration) {
	l.until, l.rest = 0, d
	c.mu.Lock()
	s := c.idle[l.host]
	if s == nil {
		s = &shelf{}
		c.idle[l.host] = s
	}
	full := d <= 0 || len(s.links) >= c.options.IdlePerHost
	if !full {
		s.links = append(s.links, l)
	}
	c.mu.Unlock()
	if full {
		l.close()
		return
	}
	c.tick() // the patrol may have come when the link was neither in use nor here
}

// askAfter is how often unused connections are asked whether their other side has left, so that
// what it has closed is not held for as long as it might have been used.
const askAfter = 500 * time.Millisecond

// rested takes the connections off their shelves that have been there for too long or have
// ended, and tells when to look again; 0 is never. The caller has locked mu.
func (c *Client) rested(now time.Duration) (old []*link, next time.Duration) {
	asks := now >= c.asked+askAfter
	if asks {
		c.asked = now
	}
	for host, s := range c.idle {
		s.links = slices.DeleteFunc(s.links, func(l *link) bool {
			if l.until == 0 {
				l.until = now + l.rest
			}
			switch {
			case l.until <= now || asks && !l.peek.IsQuiet():
				old = append(old, l)
				return true
			case next == 0 || l.until < next:
				next = l.until
			}
			return false
		})
		if len(s.links) == 0 {
			delete(c.idle, host)
		}
	}
	if next > 0 {
		next = min(next, c.asked+askAfter)
	}
	return old, next
}
