package listen

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/http1"
	"github.com/weir-gateway/weir/internal/wire/http2"
)

// connections are the open ones of a server. It is safe for concurrent use.
type connections struct {
	limit     int
	perClient int   // 0: no bound
	rate      int64 // bytes a second that a client must take; 0: no bound
	endings   *endings
	meter     *telemetry.Socket
	resting   sync.WaitGroup // those that rest

	mu    sync.Mutex
	open  map[*conn]struct{}
	ofOne map[netip.Prefix]int // how many are open by client, where that is bounded
	by    time.Time            // see hurry; the zero time before
	awake bool                 // no connection rests any more
	empty chan struct{}        // closed when the last one has gone; nil while nobody waits
}

// conn is one accepted connection, in the set until it is closed.
type conn struct {
	net.Conn

	set       *connections
	socket    http1.Socket  // that it is; none elsewhere
	terms     string        // see Bind; written before begun
	begun     bool          // its handshake is complete
	rests     bool          // it is with no server; guarded by set.mu
	hurried   hurried       // nil on HTTP/2 over TLS
	meter     *http2.Meter  // nil where HTTP/2 cannot be spoken; written before begun
	client    *netip.Prefix // that it is counted by; nil where it is not
	computing slots         // while a handshake reads from it; nil otherwise
	ahead     *ahead        // nil for most
	stall     stall
}

// ahead is what was read off a connection before anybody served it.
type ahead struct {
	remote, local net.Addr // as a proxy announced them, instead of its own where not nil; see Announced
	early         []byte   // what came behind that
}

// hurried is what can be told to receive a head that is awaited sooner.
type hurried interface{ Hurry(by time.Time) }

func newConnections(limit int, limits config.Limits, count *telemetry.Socket) connections {
	return connections{
		meter: count, limit: limit, perClient: limits.PerClient, rate: limits.BodyRate,
		open: make(map[*conn]struct{}), ofOne: make(map[netip.Prefix]int),
	}
}

// add takes raw into the set; it tells false when the set is full.
func (s *connections) add(raw net.Conn) (*conn, bool) {
	c := &conn{Conn: raw, set: s, socket: http1.NewSocket(raw), stall: stall{rate: s.rate}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= s.limit {
		return nil, false
	}
	s.open[c] = struct{}{}
	s.meter.Opened()
	return c, true
}

// welcome counts c, whose client is known now; it tells false when that one has too many.
func (s *connections) welcome(c *conn) bool {
	if s.perClient <= 0 {
		return true
	}
	client := clientOf(c.RemoteAddr())
	s.mu.Lock()
	defer s.mu.Unlock()
	if !client.IsValid() {
		return true
	}
	if s.ofOne[client] >= s.perClient {
		return false
	}
	s.ofOne[client]++
	c.client = &client
	return true
}

// begin notes that requests may come on c now.
func (s *connections) begin(c *conn, on hurried) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.begun, c.hurried = true, on
	if on != nil && !s.by.IsZero() {
		on.Hurry(s.by)
	}
}

// rest notes that c is with no server while a head is awaited, and runs wait, which
// does so, in a goroutine. It tells false where that may not be any more.
func (s *connections) rest(c *conn, wait func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.awake {
		return false
	}
	c.rests = true
	s.resting.Go(wait)
	return true
}

// rise notes that c is handed to a server, and whether it speaks HTTP/2.
func (s *connections) rise(c *conn, http2 bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.rests = false
	if !http2 {
		c.meter = nil
	}
}

// wake closes the connections that rest, and lets none do so any more.
func (s *connections) wake() {
	s.mu.Lock()
	s.awake = true
	var resting []*conn
	for c := range s.open {
		if c.rests {
			resting = append(resting, c)
		}
	}
	s.mu.Unlock()
	for _, c := range resting {
		_ = c.Close() // nobody asks anything on it
	}
}

// announce tells the clients of HTTP/2 that their connections will end.
func (s *connections) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		if c.begun && c.meter != nil {
			c.meter.Announce()
		}
	}
}

// hurry gives the connections on which the first head is awaited, and those that
// are still to come, until the time by.
func (s *connections) hurry(by time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by = by
	for c := range s.open {
		switch {
		case !c.begun:
			_ = c.SetDeadline(by) // a closed connection tells its reader
		case c.hurried != nil:
			c.hurried.Hurry(by)
		}
	}
}

// hurried gives the earlier of deadline and what hurry was told.
func (s *connections) hurried(deadline time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sooner(deadline)
}

func (s *connections) sooner(deadline time.Time) time.Time {
	if !s.by.IsZero() && s.by.Before(deadline) {
		return s.by
	}
	return deadline
}

// setDeadline bounds what comes before c begins.
func (s *connections) setDeadline(c *conn, deadline time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.SetDeadline(s.sooner(deadline))
}

func (s *connections) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.open[c]; !ok {
		return
	}
	delete(s.open, c)
	s.meter.Closed()
	if c.client != nil {
		if s.ofOne[*c.client]--; s.ofOne[*c.client] <= 0 {
			delete(s.ofOne, *c.client)
		}
	}
	if len(s.open) == 0 && s.empty != nil {
		close(s.empty)
		s.empty = nil
	}
}

func (s *connections) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// gone gives a channel that is closed once no connection is open.
func (s *connections) gone() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) == 0 {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	if s.empty == nil {
		s.empty = make(chan struct{})
	}
	return s.empty
}

// closeAll closes every open connection, whatever it is doing, and tells how many there were.
func (s *connections) closeAll() int {
	s.mu.Lock()
	open := make([]*conn, 0, len(s.open))
	for c := range s.open {
		open = append(open, c)
	}
	s.mu.Unlock()
	for _, c := range open {
		_ = c.Close() // it is being thrown away
	}
	return len(open)
}

// NetConn is what was accepted.
func (c *conn) NetConn() net.Conn { return c.Conn }

// RemoteAddr is the client's address, as a proxy announced it where one did.
func (c *conn) RemoteAddr() net.Addr {
	if c.ahead != nil && c.ahead.remote != nil {
		return c.ahead.remote
	}
	return c.Conn.RemoteAddr()
}

// LocalAddr is the address that the client connected to.
func (c *conn) LocalAddr() net.Addr {
	if c.ahead != nil && c.ahead.local != nil {
		return c.ahead.local
	}
	return c.Conn.LocalAddr()
}

// Read gives what came behind a header first.
func (c *conn) Read(p []byte) (int, error) {
	if c.ahead == nil || len(c.ahead.early) == 0 {
		return c.receive(p)
	}
	n := copy(p, c.ahead.early)
	if c.ahead.early = c.ahead.early[n:]; len(c.ahead.early) == 0 {
		c.ahead.early = nil
	}
	return n, nil
}

// ReadAtOnce gives what need not be waited for, and 0 where there is nothing.
func (c *conn) ReadAtOnce(p []byte) int {
	if c.ahead != nil && len(c.ahead.early) > 0 || c.computing != nil {
		return 0
	}
	return c.socket.ReadNow(p)
}

// Close closes the connection and takes it out of the set.
func (c *conn) Close() error {
	c.set.remove(c)
	return c.Conn.Close()
}

// CloseWrite ends the sending side only, where the transport can.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}
