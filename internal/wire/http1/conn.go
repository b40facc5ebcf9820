package http1

import (
	"io"
	"net"
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

// Close closes the connection. After a refusal, and in the middle of content, it
// first ends the sending side and reads on for a moment, so that the client sees
// the answer. A connection that rests is handed to Options.Rest instead.
func (s *Sieve) Close() error {
	if s.resting.CompareAndSwap(true, false) {
		s.beginRest()
		s.options.Rest(s)
		return nil
	}
	if s.fault.Load() != nil || s.midway.Load() {
		Linger(s.Conn)
	}
	return s.Conn.Close()
}

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
	look := time.NewTicker(lingerTick)
	defer look.Stop()
	for socket := socketOf(conn); time.Now().Before(until) && !isEnding(socket); {
		<-look.C
	}
}

// CloseWrite ends the sending side only.
func (s *Sieve) CloseWrite() error {
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return s.Conn.Close()
}

// ReadFrom lets responses use the connection's own fast path (sendfile, splice).
func (s *Sieve) ReadFrom(r io.Reader) (int64, error) {
	if fast, ok := s.Conn.(io.ReaderFrom); ok {
		return fast.ReadFrom(r)
	}
	return io.Copy(onlyWriter{s.Conn}, r)
}

type onlyWriter struct{ io.Writer }
