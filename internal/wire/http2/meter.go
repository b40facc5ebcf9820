package http2

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/wire/http1"
)

// Options are what all Meters of a listener share.
type Options struct {
	// HeadTime bounds a head from its first byte to its end; 0 does not.
	HeadTime time.Duration
	// HeadBytes bounds a head as it is read; compressed it is hardly ever larger.
	// One of up to twice the size is the server's to refuse.
	HeadBytes int
	// HeadFields is how many fields a head may have. Their number is judged by the
	// server too, up to MaxFields times that; 0 bounds them by the size alone.
	HeadFields int
	// Ended is called once when a Meter ends its connection; nil: nobody is told.
	Ended func(peer net.Addr, r Reason)
}

// MaxFields is how many times as many fields as a head may have end the connection.
// They may be that many, for each cookie may be a field of its own (RFC 9113 section
// 8.2.3) and is none any more where they are counted.
const MaxFields = 8

// Preface is what an HTTP/2 connection begins with (RFC 9113 section 3.4).
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// ErrEnded is what a Read and a Write fail with when the Meter has ended the connection.
var ErrEnded = errors.New("the connection was ended, for what its client did")

// Meter is a server's side of a connection that counts the frames in both
// directions. It belongs above TLS. What it passes on is never changed. Once the
// client has spent its budget, sends a header block without end, or is too slow
// to begin, Read fails with ErrEnded; Close then says GOAWAY before it closes.
//
// As with any net.Conn, one goroutine reads at a time; deadlines, Write and Close
// may come from others.
type Meter struct {
	net.Conn

	options *Options
	phase   phase
	preface int  // bytes of the preface that were seen
	must    bool // anything but HTTP/2 ends the connection

	// What the reader alone knows.
	in      Scanner
	budget  budget
	block   block
	granted [2]int64  // bytes sent that the client has granted anew, of the connection and of streams
	settled bool      // the client's SETTINGS were seen
	last    uint32    // largest stream that the client has opened
	firstBy time.Time // when the client must have begun; the zero time: it has, or need not
	headBy  time.Time // when the head that is awaited must be whole

	reason   atomic.Uint32
	window   atomic.Int64 // bytes of content that the client may send
	received atomic.Int64 // bytes of DATA frames that came
	sent     atomic.Int64 // and that were sent
	givenUp  atomic.Bool  // the server itself has said GOAWAY with an error
	sending  atomic.Bool  // bytes are on their way to the client, which may be slow to take them
	farewell atomic.Bool  // the end is to be announced
	wasted   atomic.Int64 // requests that came to nothing, less what was served since

	writing   sync.Mutex // guards what follows
	out       Scanner
	spoke     bool // a frame was written
	announced bool
	torn      bool // a frame was not written whole
	mute      bool // nothing more is written

	mu    sync.Mutex // guards what follows
	outer time.Time  // the read deadline that the server asked for
	armed time.Time  // our own that is set, the zero time where none is

	leaving sync.Once
}

type phase uint8

const (
	opening  phase = iota // what came is the preface so far
	counting              // HTTP/2
	foreign               // another protocol: everything passes
)

// block is the header block that is being received.
type block struct {
	open   bool
	bytes  uint32
	fields fieldCounter
}

const initialWindow = 1<<16 - 1 // RFC 9113 section 6.9.2

// NewMeter puts a Meter on conn. firstBy is when the client must have begun: sent
// the preface, its SETTINGS and a first request, or the acknowledgement of the
// server's SETTINGS, which a client that waits with its request sends. The zero
// time is never. A connection that does not begin with the preface passes as it
// is, where must is false.
func NewMeter(conn net.Conn, options *Options, must bool, firstBy time.Time) *Meter {
	m := &Meter{Conn: conn, options: options, must: must, firstBy: firstBy}
	m.budget.last = time.Now()
	m.window.Store(initialWindow)
	if must {
		m.arm(firstBy)
	}
	return m
}

// Reason is why the Meter has ended the connection, None while it has not.
func (m *Meter) Reason() Reason { return Reason(m.reason.Load()) }

// Counts tells whether the connection speaks HTTP/2, or may yet. It is for who reads.
func (m *Meter) Counts() bool { return m.phase != foreign }

// Began says that a request has come as far as a handler. It may be called by any
// goroutine.
func (m *Meter) Began() { m.budget.pay(forBeginning) }

// Served says that a request was served: somebody wanted it. It may be called by
// any goroutine.
func (m *Meter) Served() {
	m.budget.pay(forServing)
	for n := m.wasted.Load(); n > 0 && !m.wasted.CompareAndSwap(n, max(0, n-wastedByServed)); {
		n = m.wasted.Load()
	}
}

const (
	fewWasted      = 32 // requests that may come to nothing before the next ones are looked at twice
	wastedByServed = 3  // that one which was served makes up for
)

// Wasteful tells whether the client has of late made many requests that it then took
// back, or broke a rule on: the next one may well be such a one too. It may be called
// by any goroutine.
func (m *Meter) Wasteful() bool { return m.wasted.Load() > fewWasted }

// Wrote says that a handler has written a piece of n bytes of its response, and
// whether it was the first one. It may be called by any goroutine.
func (m *Meter) Wrote(n int, first bool) {
	worth := int64(n/contentBytes) * forContent
	if n >= leastPiece && !first {
		worth += forPiece
	}
	if worth > 0 {
		m.budget.pay(worth)
	}
}

// Received is how many bytes of DATA frames have come so far, unfinished frames
// included. It may be called by any goroutine.
func (m *Meter) Received() int64 { return m.received.Load() }

// Sent is how many bytes of DATA frames were sent so far. It may be called by any
// goroutine.
func (m *Meter) Sent() int64 { return m.sent.Load() }

// MaySend tells whether flow control lets the client send a whole frame of
// content on the connection (RFC 9113 section 6.9). It may be called by any goroutine.
func (m *Meter) MaySend() bool {
	const frame = 16 << 10
	return m.window.Load() >= frame
}

// Sending tells whether the connection has something for the client just now. What
// else waits to be sent waits for that, or for the client's leave (flow control). It
// may be called by any goroutine.
func (m *Meter) Sending() bool { return m.sending.Load() }

// Read gives what the client sent.
func (m *Meter) Read(p []byte) (int, error) {
	if m.phase == foreign {
		return m.Conn.Read(p)
	}
	if m.Reason() != None {
		return 0, ErrEnded
	}
	for {
		m.watch()
		n, err := m.Conn.Read(p)
		reason, again := None, false
		if n > 0 {
			reason = m.inspect(p[:n])
		} else if err != nil {
			reason, again = m.tooLate(err)
		}
		if reason != None {
			m.end(reason)
			return 0, ErrEnded
		}
		if !again {
			return n, err
		}
	}
}

// inspect looks at what came, and gives why the connection must end.
func (m *Meter) inspect(b []byte) Reason {
	if m.phase == opening {
		if b = m.open(b); m.phase == foreign {
			if m.must {
				return NoPreface
			}
			return None
		}
	}
	if m.budget.chargeForced() {
		return m.budget.reason()
	}
	for len(b) > 0 {
		seen, head := m.in.seen, m.in.headLeft()
		n, whole := m.in.Scan(b)
		frame := m.in.Frame()
		switch {
		case m.in.inHead():
		case frame.Type == Data:
			m.countData(frame, seen, whole)
		case frame.Type == Headers || frame.Type == Continuation:
			m.countFields(frame, seen, b[head:n])
		}
		b = b[n:]
		if !whole {
			break
		}
		if reason := m.count(frame); reason != None {
			return reason
		}
	}
	return None
}

// open takes the preface off b, and decides what the connection speaks.
func (m *Meter) open(b []byte) []byte {
	n := min(len(b), len(Preface)-m.preface)
	if string(b[:n]) != Preface[m.preface:m.preface+n] {
		m.phase = foreign
		return nil
	}
	if m.preface += n; m.preface == len(Preface) {
		m.phase = counting
		m.arm(m.firstBy)
	}
	return b[n:]
}

// countData notes the bytes of a DATA frame as they come.
func (m *Meter) countData(frame *Frame, seen uint32, whole bool) {
	now := m.in.seen
	if whole {
		now = frame.Length
	}
	if n := int64(now) - int64(seen); n > 0 {
		m.received.Add(n)
		m.window.Add(-n)
	}
}

// count charges a frame that came whole.
func (m *Meter) count(frame *Frame) Reason {
	if m.givenUp.Load() && m.budget.charge(AfterGoAway, 1) {
		return m.budget.reason()
	}
	kind := m.classify(frame)
	switch {
	case kind == HeaderBlock:
		return HeaderBlock
	case kind != None && m.budget.charge(kind, 1):
		return m.budget.reason()
	default:
		return None
	}
}

// classify tells what a frame from the client is charged as.
func (m *Meter) classify(frame *Frame) Reason {
	switch frame.Type {
	case Data:
		if n := frame.Content(); n > 0 {
			m.budget.received(n)
			return None
		}
		if frame.Flags.Has(EndStream) {
			return None
		}
		return EmptyData
	case Headers:
		m.last = max(m.last, frame.Stream)
		return m.countBlock(frame, Requests)
	case Continuation:
		return m.countBlock(frame, Continuations)
	case RSTStream:
		m.wasted.Add(1)
		return Resets
	case Settings:
		m.settled = true
		if frame.Flags.Has(Ack) {
			m.begun()
		}
		return SettingsFrames
	case Ping:
		return Pings
	case Priority:
		return Priorities
	case WindowUpdate:
		if m.grants(frame) {
			return None
		}
		return WindowUpdates
	default:
		return OtherFrames
	}
}

// grants tells whether a WINDOW_UPDATE is the client's way to say that it has taken
// what was sent: it grants no more than that, and not in crumbs. How many of those
// come is up to the server, which may have sent all of a response ahead.
func (m *Meter) grants(frame *Frame) bool {
	granted := &m.granted[min(frame.Stream, 1)]
	n := int64(frame.Number() &^ (1 << 31)) // the first bit is reserved
	if n < contentBytes || *granted+n > m.sent.Load() {
		return false
	}
	*granted += n
	return true
}

// countFields counts the fields in a piece of a header block that begins seen bytes
// into its frame. A block of fewer bytes than it may have fields needs no counting.
func (m *Meter) countFields(frame *Frame, seen uint32, piece []byte) {
	if frame.Type == Headers && seen == 0 {
		m.block = block{}
	}
	if limit := m.maxFields(); limit == 0 || int(frame.Length) <= limit && frame.Type == Headers && frame.Flags.Has(EndHeaders) {
		return
	}
	from, to := frame.fragment()
	from, to = max(from, seen), min(to, seen+uint32(len(piece)))
	if from < to {
		m.block.fields.scan(piece[from-seen : to-seen])
	}
}

func (m *Meter) maxFields() int { return MaxFields * m.options.HeadFields }

// countBlock follows a header block.
func (m *Meter) countBlock(frame *Frame, kind Reason) Reason {
	m.block.bytes += frame.Length
	m.block.open = !frame.Flags.Has(EndHeaders)
	switch {
	case int64(m.block.bytes) > 2*int64(m.options.HeadBytes):
		return HeaderBlock
	case m.maxFields() > 0 && m.block.fields.fields > m.maxFields():
		return HeaderBlock
	case !m.block.open:
		m.headBy = time.Time{}
		m.begun()
	}
	return kind
}

// begun notes that the client has begun.
func (m *Meter) begun() {
	if m.settled {
		m.firstBy = time.Time{}
	}
}

// end notes why the connection ends.
func (m *Meter) end(r Reason) {
	if m.reason.CompareAndSwap(uint32(None), uint32(r)) && m.options.Ended != nil {
		m.options.Ended(m.RemoteAddr(), r)
	}
}

// Write sends what the server says.
func (m *Meter) Write(p []byte) (int, error) {
	if m.phase != counting {
		if m.Reason() != None { // what would be said is HTTP/1.1
			return 0, ErrEnded
		}
		return m.Conn.Write(p)
	}
	n, err := m.write(p)
	if m.farewell.Load() {
		m.Announce() // when it became due meanwhile, nobody else could
	}
	return n, err
}

func (m *Meter) write(p []byte) (int, error) {
	m.writing.Lock()
	defer m.writing.Unlock()
	if m.mute {
		return 0, ErrEnded
	}
	m.inspectOut(p)
	m.sending.Store(true)
	n, err := m.Conn.Write(p)
	m.sending.Store(false)
	if err != nil {
		m.torn = true
	}
	return n, err
}

// inspectOut looks at what the server sends, for a stream that it resets was the
// client's fault.
func (m *Meter) inspectOut(b []byte) {
	for len(b) > 0 {
		n, whole := m.out.Scan(b)
		b = b[n:]
		if whole {
			m.spoke = true
			m.countOut(m.out.Frame())
		}
	}
}

func (m *Meter) countOut(frame *Frame) {
	switch frame.Type {
	case Data:
		m.sent.Add(int64(frame.Length))
	case RSTStream:
		// With NO_ERROR the server has answered before the request was whole, and with
		// INTERNAL_ERROR a response broke off: neither is the client's doing.
		if code := frame.Number(); code != codeNone && code != codeInternal {
			m.budget.force()
			m.wasted.Add(1)
		}
	case WindowUpdate:
		if frame.Stream == 0 {
			m.window.Add(int64(frame.Number()))
		}
	case GoAway:
		if binary.BigEndian.Uint32(frame.lead[4:]) != codeNone {
			m.givenUp.Store(true)
		}
	default:
	}
}

// ReadFrom lets the responses of another protocol use the connection's own fast path.
func (m *Meter) ReadFrom(r io.Reader) (int64, error) {
	if fast, ok := m.Conn.(io.ReaderFrom); ok && m.phase != counting {
		return fast.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{m}, r)
}

// CloseWrite ends the sending side only, where the transport can.
func (m *Meter) CloseWrite() error {
	if half, ok := m.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return m.Conn.Close()
}

// Close closes the connection. Where the Meter has ended it, the client is told
// why, and has a moment to read it.
func (m *Meter) Close() error {
	if m.Reason() != None {
		m.leaving.Do(m.leave)
	}
	return m.Conn.Close()
}

// leaveTime bounds how long is tried to say GOAWAY.
const leaveTime = 100 * time.Millisecond

func (m *Meter) leave() {
	_ = m.SetWriteDeadline(time.Now().Add(leaveTime)) // also for a Write that waits for the client
	m.writing.Lock()
	m.mute = true
	said := m.phase == counting && !m.torn && m.out.Between() && m.sayGoAway() == nil
	m.writing.Unlock()
	if said {
		http1.Linger(m.Conn)
	}
}

// sayGoAway writes a GOAWAY frame (RFC 9113 section 6.8), with the reason for who
// debugs the client.
func (m *Meter) sayGoAway() error {
	const fixed = 8 // last stream and code
	text := m.Reason().String()
	frame := make([]byte, headBytes+fixed, headBytes+fixed+len(text))
	frame[2] = byte(fixed + len(text))
	frame[3] = byte(GoAway)
	binary.BigEndian.PutUint32(frame[headBytes:], m.last)
	binary.BigEndian.PutUint32(frame[headBytes+4:], m.Reason().code())
	_, err := m.Conn.Write(append(frame, text...))
	return err
}
