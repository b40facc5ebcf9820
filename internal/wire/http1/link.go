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
	below  net.Conn             // net, or the connection below its TLS
	tls    *tls.ConnectionState // nil: none
	peek   Peek                 // tells whether anything has arrived, below TLS
	talk   talk
	gather gather // of the heads of responses
	status string // of the last response, as text
	ended  bool   // a read has met its end or failed

	// client.mu guards the rest.
	shelf *shelf        // for its host; nil: the client has let go of the link
	round *round        // that is under way; nil: none; client.cutOff: one that the patrol has ended
	room  *room         // for the next round, while the link is unused; nil: the round borrows one
	rest  time.Duration // how long the link may be unused
	until time.Duration // and until when, on the client's clock; 0: the patrol has not seen it unused yet
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

// add registers l with the client, and puts r on it.
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

// Read reads from the connection, and records when nothing more will come.
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

// ask sends out, together with what other requests have ready if that pays, and receives the beginning of the answer;
// see talk.run. The link must be able to talk.
func (l *link) ask(out, in []byte) (quiet bool, wrote, came int, err error) {
	if !cohortForms() {
		return l.talk.run(out, in)
	}
	quiet, wrote, came, err = l.talk.post(out, in, false)
	if l.talk.wasRecalled() {
		_ = l.net.SetReadDeadline(time.Time{}) // if the link is closed, its next user finds out
	}
	return quiet, wrote, came, err
}

// usualStatus is what nearly every status line says after the version.
const usualStatus = "200 OK"

// statusOf converts what a status line says after the version to a string. It allocates nothing for the usual status,
// or if the text is the same as the last unusual one.
func (l *link) statusOf(text []byte) string {
	switch {
	case string(text) == usualStatus:
		return usualStatus
	case string(text) != l.status:
		l.status = string(text)
	}
	return l.status
}

// wroteBelow returns how many bytes the connection below TLS has written, 0 if that does not count them. When the write
// of a TLS record fails, its error does not tell how much of the record was written.
func (l *link) wroteBelow() int64 {
	if counts, ok := l.below.(interface{ Wrote() int64 }); ok {
		return counts.Wrote()
	}
	return 0
}

// isQuiet reports whether l may have another request: neither its end has come, nor bytes that nobody has asked for.
func (l *link) isQuiet() bool {
	if !l.peek.IsQuiet() {
		return false
	}
	if l.tls == nil {
		return true
	}
	var one [1]byte // what came with an earlier record is held by crypto/tls
	if l.net.SetReadDeadline(past) != nil {
		return false
	}
	n, err := l.net.Read(one[:])
	return n == 0 && timedOut(err) && l.net.SetReadDeadline(time.Time{}) == nil
}

// forget ends the round on l and removes l from the client, which no longer owns it.
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
