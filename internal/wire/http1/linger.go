package http1

import (
	"net"
	"syscall"
	"time"
)

// How long and how much is read from a client that was refused, so that it sees
// the answer: data that is unread at a close makes the system reset the
// connection, and the answer may be lost (RFC 9112 section 9.6).
const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
	lingerPiece = 1 << 10
	lingerTick  = 20 * time.Millisecond
)

// Linger ends the sending side of conn and reads on until the client closes its
// own, for half a second and a quarter of a megabyte at most. A client that sends more is
// left waiting for the rest of that time: what it cannot send any more it would be told
// before it has read the answer. The caller closes conn.
func Linger(conn net.Conn) {
	until := time.Now().Add(lingerTime)
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || conn.SetReadDeadline(until) != nil {
		return
	}
	piece := make([]byte, lingerPiece) // many may linger at the same time
	for left := lingerBytes; left > 0; {
		n, err := conn.Read(piece)
		if err != nil {
			return // that it has ended is all that matters
		}
		left -= n
	}
	awaitEnd(socketOf(conn), until)
}

// awaitEnd waits until the client has ended its side of a connection, or until then.
func awaitEnd(socket syscall.RawConn, until time.Time) {
	look := time.NewTicker(lingerTick)
	defer look.Stop()
	for time.Now().Before(until) && !isEnding(socket) {
		<-look.C
	}
}

// linger is Linger and the close after it, for which c waits without a goroutine of its own where that can be: it may be
// one of thousands that were refused.
func (c *Conn) linger() {
	c.served.Store(true) // there is no head that could hurry
	half, ok := c.net.(interface{ CloseWrite() error })
	if c.tls != nil || !c.parks() || !ok || half.CloseWrite() != nil {
		Linger(c.net)
		c.close()
		return
	}
	c.lingers, c.swallows = true, lingerBytes
	c.expect(resting, c.server.now()+int64(lingerTime))
	c.swallow()
}

// swallow throws away what has come on a connection that lingers, and lets it wait for more.
func (c *Conn) swallow() {
	piece := takeIn()
	defer giveIn(piece)
	for c.swallows > 0 {
		n, goesOn := takeNow(c.socket, piece[:cap(piece)])
		c.swallows -= n
		if n > 0 {
			continue
		}
		if goesOn && c.server.park(c) {
			return
		}
		if goesOn {
			Linger(c.net) // nobody is parked any more
		}
		c.close()
		return
	}
	_, due := c.awaits()
	awaitEnd(c.socket, c.server.start.Add(time.Duration(due)))
	c.close()
}
