package http1

import (
	"crypto/tls"
	"net"
	"time"
)

// link is a connection to an endpoint, which one request uses at a time.
type link struct {
	client *Client
	host   string
	net    net.Conn
	below  net.Conn             // net, or what is below its TLS
	tls    *tls.ConnectionState // nil: none
	peek   Peek                 // whether anything has come, below TLS
	talk   talk
	gather gather // of the heads of responses
	status string // of the last one, as text
	ended  bool   // its end was read, or that it broke

	// client.mu guards the rest.
	shelf *shelf        // for its host; nil: it is none of the client's any more
	round *round        // that is under way; nil is none, client.cutOff one that the patrol has ended
	room  *room         // for the next round, while it is unused; nil: that borrows one
	rest  time.Duration // how long it may be unused
	until time.Duration // and until when that is, on the client's clock; 0: the patrol has not seen it yet
}

func newLink(c *Client, host string, conn net.Conn) *link {
	l := &link{client: c, host: host, net: conn, below: conn}
	if secured, ok := conn.(*tls.Conn); ok {
		state := secured.ConnectionState()
		l.tls, l.below = &state, secured.NetConn()
	}
	l.peek, l.talk = NewPeek(conn), newTalk(conn)
	return l
}

// add takes l into the client's books, and puts r on it.
func (c *Client) add(l *link, r *round) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.shelfOf(l.host)
	if s == nil {
		s = &shelf{host: l.host}
		c.shelves[s.host] = s
	}
	s.all++
	l.shelf, c.links[l] = s, struct{}{}
	c.put(r, l)
}

// Read notes when there is nothing more to come.
func (l *link) Read(p []byte) (int, error) {
	n, err := l.receive(p)
	if err != nil {
		l.ended = true
	}
	return n, err
}

func (l *link) receive(p []byte) (int, error) {
	if l.talk.isPossible() {
		return l.talk.socket.Read(p)
	}
	return l.net.Read(p)
}

// usualStatus is what nearly every status line says behind the version.
const usualStatus = "200 OK"

// statusOf is string for what a status line says behind the version. There is the usual one already, and the last other one still.
func (l *link) statusOf(text []byte) string {
	switch {
	case string(text) == usualStatus:
		return usualStatus
	case string(text) != l.status:
		l.status = string(text)
	}
	return l.status
}

// wroteBelow is how much went to the system, where that is not as much as was given to write: a
// record of TLS that fails tells nothing of its part.
func (l *link) wroteBelow() int64 {
	if counts, ok := l.below.(interface{ Wrote() int64 }); ok {
		return counts.Wrote()
	}
	return 0
}

// isQuiet tells whether l may have another request: its end has not come, nor bytes that
// nobody has asked for.
func (l *link) isQuiet() bool {
	if !l.peek.IsQuiet() {
		return false
	}
	if l.tls == nil {
		return true
	}
	var one [1]byte // what came with an earlier record lies within crypto/tls
	if l.net.SetReadDeadline(past) != nil {
		return false
	}
	n, err := l.net.Read(one[:])
	return n == 0 && timedOut(err) && l.net.SetReadDeadline(time.Time{}) == nil
}

// forget ends the round on l, and takes that out of the client's books; it is somebody else's.
func (l *link) forget() {
	c := l.client
	c.mu.Lock()
	defer c.mu.Unlock()
	l.round = nil
	s := l.shelf
	if s == nil {
		return
	}
	l.shelf = nil
	delete(c.links, l)
	if s.all--; s.all == 0 {
		delete(c.shelves, s.host)
		if c.latest == s {
			c.latest = nil
		}
	}
}

func (l *link) close() {
	l.forget()
	_ = l.net.Close() // nothing is under way on it
}
