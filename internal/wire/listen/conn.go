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

// connections are the open connections of a server. They are safe for concurrent use.
type connections struct {
	limit     int
	perClient int   // 0: no bound
	rate      int64 // bytes per second that a client must take; 0: no bound
	endings   *endings
	meter     *telemetry.Socket
	resting   sync.WaitGroup // connections that rest

	mu    sync.Mutex
	open  map[*conn]struct{}
	ofOne map[netip.Prefix]int // how many are open by client, if that is bounded
	by    time.Time            // see hurry; the zero time before it is called
	awake bool                 // no connection may rest any more
	empty chan struct{}        // closed when the last connection has gone; nil while nothing waits for that
}

// conn is one accepted connection, in the set until it is closed.
type conn struct {
	net.Conn

	set       *connections
	socket    http1.Socket  // the socket that it is; none on other systems
	terms     string        // see Bind; written before begun
	begun     bool          // its handshake is complete
	rests     bool          // no server has it; guarded by set.mu
	hurried   hurried       // nil on HTTP/2 over TLS
	meter     *http2.Meter  // nil if HTTP/2 cannot be spoken; written before begun
	client    *netip.Prefix // the client it is counted for; nil if it is not counted
	computing slots         // set while a handshake reads from it; nil otherwise
	ahead     *ahead        // nil for most
	stall     stall
}

// ahead is what was read from a connection before a server got it.
type ahead struct {
	remote, local net.Addr // as announced by a proxy; if not nil, used in place of its own; see Announced
	early         []byte   // what came after the announcement
}

// hurried is a connection that can be given less time to receive an awaited head.
type hurried interface{ Hurry(by time.Time) }

func newConnections(limit int, limits config.Limits, count *telemetry.Socket) connections {
	return connections{
		meter: count, limit: limit, perClient: limits.PerClient, rate: limits.BodyRate,
		open: make(map[*conn]struct{}), ofOne: make(map[netip.Prefix]int),
	}
}

// add adds raw to the set; it returns false if the set is full.
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

// welcome counts c, whose client is now known; it returns false if that client has too many connections.
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

// begin records that requests may now come on c.
func (s *connections) begin(c *conn, on hurried) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.begun, c.hurried = true, on
	if on != nil && !s.by.IsZero() {
		on.Hurry(s.by)
	}
}

// rest records that no server has c while a head is awaited, and runs wait, which waits for the head, in a goroutine.
// It returns false if connections may not rest any more.
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

// rise records that c is handed to a server, and whether it speaks HTTP/2.
func (s *connections) rise(c *conn, http2 bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.rests = false
	if !http2 {
		c.meter = nil
	}
}

// wake closes the connections that rest, and lets no connection rest any more.
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
		_ = c.Close() // no request is under way on it
	}
}

// announce tells HTTP/2 clients that their connections will end.
func (s *connections) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		if c.begun && c.meter != nil {
			c.meter.Announce()
		}
	}
}

// hurry sets by as the deadline of the first head, for connections that await it and for those still to come.
func (s *connections) hurry(by time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by = by
	for c := range s.open {
		switch {
		case !c.begun:
			_ = c.SetDeadline(by) // if the connection is closed, its reader finds out
		case c.hurried != nil:
			c.hurried.Hurry(by)
		}
	}
}

// hurried returns the earlier of deadline and the time that hurry was given.
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

// setDeadline bounds what happens before c begins.
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

// gone returns a channel that is closed once no connection is open.
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

// closeAll closes every open connection, whatever it is doing, and returns how many there were.
func (s *connections) closeAll() int {
	s.mu.Lock()
	open := make([]*conn, 0, len(s.open))
	for c := range s.open {
		open = append(open, c)
	}
	s.mu.Unlock()
	for _, c := range open {
		_ = c.Close() // it is abandoned
	}
	return len(open)
}

// NetConn returns the accepted connection.
func (c *conn) NetConn() net.Conn { return c.Conn }

// RemoteAddr returns the client's address, as announced by a proxy if one did.
func (c *conn) RemoteAddr() net.Addr {
	if c.ahead != nil && c.ahead.remote != nil {
		return c.ahead.remote
	}
	return c.Conn.RemoteAddr()
}

// LocalAddr returns the address that the client connected to.
func (c *conn) LocalAddr() net.Addr {
	if c.ahead != nil && c.ahead.local != nil {
		return c.ahead.local
	}
	return c.Conn.LocalAddr()
}

// Read first returns what came after a PROXY header.
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

// ReadAtOnce returns what has already arrived, and 0 if nothing has.
func (c *conn) ReadAtOnce(p []byte) int {
	bare := c.Bare()
	return bare.ReadNow(p)
}

// Bare returns the socket, for as long as c changes nothing of what is read and written: neither during a handshake, nor
// while something is left that came with a PROXY header.
func (c *conn) Bare() http1.Socket {
	if c.ahead != nil && len(c.ahead.early) > 0 || c.computing != nil {
		return http1.Socket{}
	}
	return c.socket
}

// Close closes the connection and takes it out of the set.
func (c *conn) Close() error {
	c.set.remove(c)
	return c.Conn.Close()
}

// CloseWrite ends the sending side only, if the transport can.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}
