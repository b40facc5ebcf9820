package http1

import "net"

// In a cohort a connection posts the end of a response to an outbox. It then waits for its next request in the same use
// of its socket.

// bare is a connection of which the socket can be used directly at times.
type bare interface {
	// Bare returns the socket if what is read and written now passes the connection unchanged, and otherwise one that
	// does not exist.
	Bare() Socket
	// Took records that the client has taken n bytes at once.
	Took(n int)
}

// socketAlone is a connection that is nothing but its socket.
type socketAlone struct{ socket Socket }

func (s socketAlone) Bare() Socket { return s.socket }
func (socketAlone) Took(int)       {}

// bareOf returns conn, or what stands for it; nil: its socket cannot be used directly.
func bareOf(conn net.Conn) bare {
	if b, ok := conn.(bare); ok {
		return b
	}
	if s := NewSocket(conn); s.Exists() {
		return socketAlone{s}
	}
	return nil
}

// mayPost reports whether what is left of the response w may be posted. The handler must have returned, and the request
// have been read to its end. If so, t has the socket, and c has no request any more.
func (c *Conn) mayPost(t *turn, w *response) bool {
	if c.bare == nil || !cohortForms() || len(t.in.b) > 0 || !w.isPlain() {
		return false
	}
	if t.talk.socket = c.bare.Bare(); !t.talk.isPossible() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bounded {
		return false // the handler's deadlines hold until its response was sent
	}
	c.current = nil
	return true
}

// sendThenReceive sends what is left of a response, and then receives the beginning of the next head.
func (c *Conn) sendThenReceive(t *turn) after {
	c.expect(posted, 0)
	out := t.unsent
	t.unsent = nil
	var wrote, came int
	var err error
	if !c.server.retired.Load() { // otherwise Retire may not have seen that c is about to wait
		wrote, came, err = c.post(t, out)
	}
	if wrote < len(out) {
		c.expect(nothing, 0)
		if _, err := c.net.Write(out[wrote:]); err != nil {
			return ends
		}
	}
	if _, woken := c.woken(err); err != nil && !woken {
		return ends
	}
	c.headBegins(t)
	if came > 0 {
		return goesOn
	}
	return c.receiveMore(t, false)
}

// post has out sent by an outbox, and waits for what comes then. It does not wait if not all of out was sent, or
// something had come before.
func (c *Conn) post(t *turn, out []byte) (wrote, came int, err error) {
	in := &t.in
	in.makeRoom()
	_, wrote, came, err = t.talk.post(out, in.b[len(in.b):cap(in.b)], true)
	in.b = in.b[:len(in.b)+came]
	in.drained = len(in.b) < cap(in.b)
	c.bare.Took(wrote)
	if t.talk.wasRecalled() {
		c.resume()
	}
	return wrote, came, err
}

// resume sets the read deadline anew after a recall. If the sweep has interrupted the wait, that is over too.
func (c *Conn) resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupted = 0
	_ = c.net.SetReadDeadline(c.outer) // if the connection is closed, its reader finds out
}
