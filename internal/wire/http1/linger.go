package http1

import (
	"net"
	"time"
)

// How long and how much is read from a client that was refused, so that it sees the answer: data that is unread at a
// close makes the system reset the connection, and the answer may be lost (RFC 9112 section 9.6).
const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
	lingerPiece = 1 << 10
	lingerTick  = 20 * time.Millisecond
)

// Linger ends the sending side of conn and reads on until the client closes its own, for half a second and a quarter of
// a megabyte at most. A client that sends more is left waiting for the rest of that time: otherwise it would learn that
// it cannot send any more before it has read the answer. The caller closes conn.
func Linger(conn net.Conn) {
	until := time.Now().Add(lingerTime)
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		throwAway(conn, lingerBytes, until)
	}
}

// throwAway reads from a connection, at most left bytes, until the client has ended its side or the time until has
// come.
func throwAway(conn net.Conn, left int, until time.Time) {
	if conn.SetReadDeadline(until) != nil {
		return
	}
	piece := make([]byte, lingerPiece) // many may linger at the same time
	for left > 0 {
		n, err := conn.Read(piece)
		if err != nil {
			return // only the end matters, not why
		}
		left -= n
	}
	look := time.NewTicker(lingerTick)
	defer look.Stop()
	for socket := socketOf(conn); time.Now().Before(until) && !isEnding(socket); {
		<-look.C
	}
}

// linger is Linger and the close after it. If possible, c waits for that without a goroutine of its own: it may be one
// of thousands that were refused.
func (c *Conn) linger() {
	c.served.Store(true) // Hurry does not apply: no head is awaited
	half, ok := c.net.(interface{ CloseWrite() error })
	if c.tls != nil || !c.parks() || !ok || half.CloseWrite() != nil {
		go func() { // on a fresh stack, for it may be one of many
			Linger(c.net)
			c.close()
		}()
		return
	}
	c.lingers, c.swallows = true, lingerBytes
	c.expect(nothing, c.server.now()+int64(lingerTime))
	c.swallow()
}

// swallow throws away what has arrived on a connection that lingers, and lets the connection wait for more.
func (c *Conn) swallow() {
	open := c.swallowNow()
	if open && c.swallows > 0 && c.server.park(c) {
		return
	}
	if open { // it cannot be parked, or has sent more than is read
		_, due := c.awaits()
		throwAway(c.net, c.swallows, c.server.start.Add(time.Duration(due)))
	}
	c.close()
}

// swallowNow throws away what has arrived, and reports whether more may come.
func (c *Conn) swallowNow() bool {
	piece := takeIn()
	defer giveIn(piece)
	for c.swallows > 0 {
		n, open := takeNow(c.socket, piece[:cap(piece)])
		if n == 0 {
			return open
		}
		c.swallows -= n
	}
	return true
}
