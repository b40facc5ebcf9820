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
	// HeadTime bounds the time from a head's first byte to its end; 0 is no limit.
	HeadTime time.Duration
	// HeadBytes bounds the size of a decoded head; a compressed head is hardly ever larger. Heads of up to twice this
	// size are left to the server to reject.
	HeadBytes int
	// HeadFields is how many fields a head may have. The server checks their number too, up to MaxFields times as many;
	// 0 leaves only the size limit.
	HeadFields int
	// Ended is called once when a Meter ends its connection; it may be nil.
	Ended func(peer net.Addr, r Reason)
}

// MaxFields is the factor by which a head must exceed its allowed number of fields for the connection to end. The
// margin is that large because each cookie may be a field of its own (RFC 9113 section 8.2.3), and the server joins
// them before it counts.
const MaxFields = 8

// Preface is what an HTTP/2 connection begins with (RFC 9113 section 3.4).
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// ErrEnded is the error of Read and Write when the Meter has ended the connection.
var ErrEnded = errors.New("the connection was ended, for what its client did")

// Meter is a server's side of a connection that counts the frames in both directions. It sits above TLS. It never
// changes the bytes that it passes on. Once the client has spent its budget, sends a header block without end, or is
// too slow to begin, Read fails with ErrEnded; Close then sends a GOAWAY before it closes.
//
// As with any net.Conn, one goroutine reads at a time; deadlines, Write and Close may be used by other goroutines.
type Meter struct {
	net.Conn

	options *Options
	phase   phase
	preface int  // bytes of the preface that were seen
	must    bool // anything but HTTP/2 ends the connection

	// Used by the reader only.
	in      Scanner
	budget  budget
	block   block
	granted [2]int64  // sent bytes for which the client has granted new window: of the connection, of its streams
	settled bool      // the client's SETTINGS were seen
	last    uint32    // largest stream that the client has opened
	firstBy time.Time // when the client must have begun; zero: it has begun, or need not
	headBy  time.Time // when the awaited head must be complete

	reason   atomic.Uint32
	window   atomic.Int64 // bytes of content that the client may send
	received atomic.Int64 // bytes of DATA frames received
	sent     atomic.Int64 // bytes of DATA frames sent
	givenUp  atomic.Bool  // the server itself has sent a GOAWAY with an error
	sending  atomic.Bool  // bytes are being written to the client, which may be slow to accept them
	farewell atomic.Bool  // the end is to be announced
	wasted   atomic.Int64 // requests that came to nothing, less what was served since

	writing   sync.Mutex // guards the following fields
	out       Scanner
	spoke     bool // a frame was written
	announced bool
	torn      bool // a frame was not written completely
	mute      bool // nothing more is written

	mu    sync.Mutex // guards the following fields
	outer time.Time  // the read deadline that the server asked for
	armed time.Time  // the Meter's own deadline that is set, zero if none

	leaving sync.Once
}

type phase uint8

const (
	opening  phase = iota // the bytes so far match the preface
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

// NewMeter puts a Meter on conn. firstBy is the time by which the client must have begun; the zero time means never. To
// begin, the client must send the preface, its SETTINGS, and either a first request or the acknowledgement of the
// server's SETTINGS, which a client sends that has no request yet. If must is false, a connection that does not begin
// with the preface passes unchanged.
func NewMeter(conn net.Conn, options *Options, must bool, firstBy time.Time) *Meter {
	m := &Meter{Conn: conn, options: options, must: must, firstBy: firstBy}
	m.budget.last = time.Now()
	m.window.Store(initialWindow)
	if must {
		m.arm(firstBy)
	}
	return m
}

// Reason returns why the Meter has ended the connection, None while it has not.
func (m *Meter) Reason() Reason { return Reason(m.reason.Load()) }

// Counts reports whether the connection speaks HTTP/2, or may still do so. Only the reader may call it.
func (m *Meter) Counts() bool { return m.phase != foreign }

// Began records that a request has reached a handler. It may be called by any goroutine.
func (m *Meter) Began() { m.budget.pay(forBeginning) }

// Served records that a request was served to a client that wanted it. It may be called by any goroutine.
func (m *Meter) Served() {
	m.budget.pay(forServing)
	for n := m.wasted.Load(); n > 0 && !m.wasted.CompareAndSwap(n, max(0, n-wastedByServed)); {
		n = m.wasted.Load()
	}
}

const (
	fewWasted      = 32 // requests that may come to nothing before Wasteful reports true
	wastedByServed = 3  // wasted requests that one served request makes up for
)

// Wasteful reports whether the client has recently made many requests that it then cancelled, or that broke a rule: the
// next one may well be of that kind too. It may be called by any goroutine.
func (m *Meter) Wasteful() bool { return m.wasted.Load() > fewWasted }

// Wrote records that a handler has written a piece of n bytes of its response, and whether it was the first one. It may
// be called by any goroutine.
func (m *Meter) Wrote(n int, first bool) {
	worth := int64(n/contentBytes) * forContent
	if n >= leastPiece && !first {
		worth += forPiece
	}
	if worth > 0 {
		m.budget.pay(worth)
	}
}

// Received returns how many bytes of DATA frames have arrived so far, including incomplete frames. It may be called by
// any goroutine.
func (m *Meter) Received() int64 { return m.received.Load() }

// Sent returns how many bytes of DATA frames were sent so far. It may be called by any goroutine.
func (m *Meter) Sent() int64 { return m.sent.Load() }

// MaySend reports whether flow control lets the client send a whole frame of content on the connection (RFC 9113
// section 6.9). It may be called by any goroutine.
func (m *Meter) MaySend() bool {
	const frame = 16 << 10
	return m.window.Load() >= frame
}

// Sending reports whether the connection is writing to the client at this moment. Everything else that is to be sent
// waits for that write, or for the client's permission (flow control). It may be called by any goroutine.
func (m *Meter) Sending() bool { return m.sending.Load() }

// Read returns what the client has sent.
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

// inspect examines received bytes, and returns why the connection must end.
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

// open removes the preface from b, and decides which protocol the connection speaks.
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

// countData counts the bytes of a DATA frame as they arrive.
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

// count charges a frame that has arrived completely.
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

// classify returns what a frame from the client is charged as.
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

// grants reports whether a WINDOW_UPDATE is the client's acknowledgement of content that it has consumed: it grants no
// more than was sent, and not in tiny amounts. How many of those arrive is up to the server, which may have sent all of
// a response ahead.
func (m *Meter) grants(frame *Frame) bool {
	granted := &m.granted[min(frame.Stream, 1)]
	n := int64(frame.Number() &^ (1 << 31)) // the first bit is reserved
	if n < contentBytes || *granted+n > m.sent.Load() {
		return false
	}
	*granted += n
	return true
}

// countFields counts the fields in a piece of a header block that begins seen bytes into its frame. A block with fewer
// bytes than the number of fields that it may have needs no counting.
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

// countBlock keeps track of a header block.
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

// begun records that the client has begun.
func (m *Meter) begun() {
	if m.settled {
		m.firstBy = time.Time{}
	}
}

// end records why the connection ends.
func (m *Meter) end(r Reason) {
	if m.reason.CompareAndSwap(uint32(None), uint32(r)) && m.options.Ended != nil {
		m.options.Ended(m.RemoteAddr(), r)
	}
}

// Write sends what the server writes.
func (m *Meter) Write(p []byte) (int, error) {
	if m.phase != counting {
		if m.Reason() != None { // the server would write HTTP/1.1
			return 0, ErrEnded
		}
		return m.Conn.Write(p)
	}
	n, err := m.write(p)
	if m.farewell.Load() {
		m.Announce() // it became due during the write, when nobody else could announce it
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

// inspectOut examines what the server sends, because a stream that the server resets was the client's fault.
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
		// With NO_ERROR the server has answered before the request was complete, and with INTERNAL_ERROR a response was
		// cut off: neither is the client's fault.
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

// CloseWrite closes only the sending side, if the transport can.
func (m *Meter) CloseWrite() error {
	if half, ok := m.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return m.Conn.Close()
}

// Close closes the connection. If the Meter has ended it, the client is sent the reason, and has a moment to read it.
func (m *Meter) Close() error {
	if m.Reason() != None {
		m.leaving.Do(m.leave)
	}
	return m.Conn.Close()
}

// leaveTime bounds how long the Meter tries to send the GOAWAY.
const leaveTime = 100 * time.Millisecond

func (m *Meter) leave() {
	_ = m.SetWriteDeadline(time.Now().Add(leaveTime)) // also for a Write that is blocked on the client
	m.writing.Lock()
	m.mute = true
	said := m.phase == counting && !m.torn && m.out.Between() && m.sayGoAway() == nil
	m.writing.Unlock()
	if said {
		http1.Linger(m.Conn)
	}
}

// sayGoAway writes a GOAWAY frame (RFC 9113 section 6.8), with the reason as text for debugging the client.
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
