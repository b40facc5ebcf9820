package http1

import (
	"crypto/tls"
	"net"
	"sync/atomic"
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
	gather gather        // of the heads of responses
	status string        // of the last one, as text
	used   bool          // it has had a request
	ended  bool          // its end was read, or that it broke
	rest   time.Duration // how long it may be unused
	until  time.Duration // and until when that is, on the client's clock; 0: the patrol has not seen it yet

	// round is what is under way: nil is nothing, client.cutOff what the patrol has ended.
	// Whoever takes it away owns the link.
	round atomic.Pointer[round]
}

func (c *Client) newLink(host string, conn net.Conn) *link {
	l := &link{client: c, host: host, net: conn, below: conn}
	if secured, ok := conn.(*tls.Conn); ok {
		state := secured.ConnectionState()
		l.tls, l.below = &state, secured.NetConn()
	}
	l.peek, l.talk = NewPeek(conn), newTalk(conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.links[l] = struct{}{}
	return l
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

// statusOf is string for what a status line says behind the version, the last of which there is still.
func (l *link) statusOf(text []byte) string {
	if string(text) != l.status {
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

// free ends the round that l had. It tells false where the patrol did so before.
func (l *link) free() bool { return l.round.Swap(nil) != l.client.cutOff }

// forget takes l out of the client's books; it is somebody else's.
func (l *link) forget() {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	delete(l.client.links, l)
}

func (l *link) close() {
	l.forget()
	_ = l.net.Close() // nothing is under way on it
}
