package listen

import (
	"errors"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/wire/pace"
)

// stall bounds how slowly a client may take what is sent to it. It counts only the time that a Write waits, so that a
// stream may be silent for as long as it likes. What the system takes at once, as it does with nearly everything, costs
// no look at the clock.
//
// Setting a deadline costs more than anything else here. So it is set rarely, and when it fires early, it is set again.
type stall struct {
	rate int64       // bytes per second; 0: no bound
	over atomic.Bool // the bound ended with HTTP

	mu    sync.Mutex // guards what follows
	pace  pace.Pace
	outer time.Time // the write deadline that the server asked for
	armed time.Time // the deadline that is set
}

// begin sets a deadline by which a Write that begins now ends if it moves nothing. A deadline that comes earlier is
// good enough if the caller checks what it means when it fires; if it does not, exact is true.
func (s *stall) begin(c net.Conn, now time.Time, exact bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := now.Add(s.pace.Left())
	if exact || !s.armed.After(now) || s.armed.After(due) {
		s.arm(c, due)
	}
}

// waited records how long a Write has waited for n bytes, and reports whether the client may have more time.
func (s *stall) waited(d time.Duration, n int) (patient bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pace.Waited(d, int64(n), s.rate)
	return s.pace.Left() > 0
}

// end removes the bound from now on, because what the client takes is no longer a response.
func (s *stall) end(c net.Conn) {
	s.over.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.armed.IsZero() {
		s.arm(c, time.Time{})
	}
}

// bounds reports whether there is a bound.
func (s *stall) bounds() bool { return s.rate > 0 && !s.over.Load() }

// arm sets a deadline of our own. The caller must hold mu.
func (s *stall) arm(c net.Conn, t time.Time) {
	s.armed = t
	_ = s.apply(c) // if the connection is closed, its writer finds out
}

// ask sets the deadline that the server asks for.
func (s *stall) ask(c net.Conn, t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.IsZero() && s.outer.IsZero() {
		return nil // the armed deadline may stay
	}
	s.outer = t
	if !s.armed.After(time.Now()) {
		s.armed = time.Time{} // it belongs to a Write that is over
	}
	return s.apply(c)
}

// apply sets the deadline that holds now. The caller must hold mu.
func (s *stall) apply(c net.Conn) error {
	if s.armed.IsZero() || !s.outer.IsZero() && s.outer.Before(s.armed) {
		return c.SetWriteDeadline(s.outer)
	}
	return c.SetWriteDeadline(s.armed)
}

// asked reports whether the deadline that the server asked for has passed.
func (s *stall) asked(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.outer.IsZero() && !now.Before(s.outer)
}

// Write sends p. It fails with os.ErrDeadlineExceeded if the client takes it too slowly.
func (c *conn) Write(p []byte) (int, error) {
	if !c.stall.bounds() {
		return c.Conn.Write(p)
	}
	done := c.WriteAtOnce(p, nil)
	if done == len(p) {
		return done, nil
	}
	for {
		begun := time.Now()
		c.stall.begin(c.Conn, begun, false)
		n, err := c.Conn.Write(p[done:])
		now := time.Now()
		done += n
		patient := c.stall.waited(now.Sub(begun), n)
		if !errors.Is(err, os.ErrDeadlineExceeded) || c.stall.asked(now) {
			return done, err
		}
		if !patient {
			c.giveUp()
			return done, err
		}
	}
}

// WriteAtOnce sends as much of p, and then of more, as goes without waiting, and so without timing, and returns how
// much that was. If it was not all, a Write of the rest says why.
func (c *conn) WriteAtOnce(p, more []byte) int {
	done := c.socket.WriteNow(p, more)
	c.Took(done)
	return done
}

// Took records that the client has taken n bytes at once.
func (c *conn) Took(n int) {
	if n > 0 {
		c.stall.waited(0, n)
	}
}

// giveUp makes Close throw away what the client does not take: the system would keep that, and the connection, for
// minutes.
func (c *conn) giveUp() {
	c.set.endings.tell(endedBodyRate, c.RemoteAddr())
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // if the connection is closed, that has happened already
	}
}

// SetWriteDeadline sets the server's own deadline, in addition to that for slow clients.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if c.stall.rate <= 0 {
		return c.Conn.SetWriteDeadline(t)
	}
	return c.stall.ask(c.Conn, t)
}

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// pieceBytes is how much of a file is sent under one deadline.
const pieceBytes = 64 << 10

// ReadFrom keeps sendfile for the content of files.
func (c *conn) ReadFrom(r io.Reader) (int64, error) {
	fast, ok := c.Conn.(io.ReaderFrom)
	switch {
	case ok && !c.stall.bounds():
		return fast.ReadFrom(r)
	case ok && isFile(r):
		return c.sendFile(fast, r)
	default:
		return io.Copy(struct{ io.Writer }{c}, r)
	}
}

// sendFile sends a file in pieces, each with its own deadline.
func (c *conn) sendFile(fast io.ReaderFrom, r io.Reader) (sent int64, err error) {
	all, ok := r.(*io.LimitedReader)
	if !ok {
		all = &io.LimitedReader{R: r, N: math.MaxInt64}
	}
	for all.N > 0 {
		begun := time.Now()
		c.stall.begin(c.Conn, begun, true)
		piece := io.LimitedReader{R: all.R, N: min(pieceBytes, all.N)}
		n, err := fast.ReadFrom(&piece)
		sent, all.N = sent+n, all.N-n
		c.stall.waited(time.Since(begun), int(n))
		if errors.Is(err, os.ErrDeadlineExceeded) && !c.stall.asked(time.Now()) {
			c.giveUp()
		}
		if err != nil || piece.N > 0 {
			return sent, err
		}
	}
	return sent, nil
}

func isFile(r io.Reader) bool {
	if limited, ok := r.(*io.LimitedReader); ok {
		r = limited.R
	}
	_, ok := r.(*os.File)
	return ok
}
