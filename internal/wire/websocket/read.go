package websocket

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf8"
)

// Op is the kind of a frame (RFC 6455 section 11.8).
type Op byte

// The kinds.
const (
	Continuation Op = 0x0
	Text         Op = 0x1
	Binary       Op = 0x2
	Close        Op = 0x8
	Ping         Op = 0x9
	Pong         Op = 0xa
)

func (o Op) control() bool { return o >= Close }

// The bits of a frame's first two bytes, and the special values of a seven-bit length.
const (
	finBit      = 0x80
	reserved    = 0x70
	opBits      = 0x0f
	maskBit     = 0x80
	lengthBits  = 0x7f
	length16    = 126
	length64    = 127
	mostControl = 125
	maskBytes   = 4
)

// The status codes of close frames that are used here (RFC 6455 section 7.4.1).
const (
	StatusNormal        = 1000
	StatusGoingAway     = 1001
	StatusProtocolError = 1002
	StatusNone          = 1005 // the client's close frame had no status; never sent
	StatusAbnormal      = 1006 // there was no close frame; never sent
	StatusNotUTF8       = 1007
	StatusTooBig        = 1009
	StatusServerError   = 1011
	StatusTryAgain      = 1013 // from the registry of close codes
)

// Error is why a connection cannot go on, in the terms of a close frame.
type Error struct {
	Status int
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("%d %s", e.Status, e.Reason) }

func broken(format string, args ...any) error {
	return &Error{StatusProtocolError, fmt.Sprintf(format, args...)}
}

// ClosedError reports that the client has closed the connection with a close frame.
type ClosedError struct {
	Status int // StatusNone if the client gave no status
	Reason string
}

func (e *ClosedError) Error() string { return fmt.Sprintf("closed with %d %s", e.Status, e.Reason) }

// Limits bound what a client may send. AWS's limits are 32 KiB and 128 KiB.
type Limits struct {
	Frame, Message int64
}

// Reader reads what a client sends. It is used by one goroutine.
type Reader struct {
	in     *bufio.Reader
	limits Limits
	watch  Watch
}

// Watch is what a Reader calls while it reads, on its own goroutine.
type Watch struct {
	// Control is called with each ping and pong. It may keep the payload.
	Control func(op Op, payload []byte)
	Alive   func() // is called with each frame
	// Data is called before the payload of each frame of a message is read. The Reader reads no further until Data
	// returns. After an error it reads nothing more, and Message returns that error. begins says that the frame is the
	// message's first; bytes is within the limits.
	Data func(begins bool, bytes int64) error
}

// NewReader makes a Reader.
func NewReader(in io.Reader, limits Limits, w Watch) *Reader {
	return &Reader{in: bufio.NewReaderSize(in, 4<<10), limits: limits, watch: w}
}

// frame is the head of one frame.
type frame struct {
	fin    bool
	op     Op
	length int64
	mask   [maskBytes]byte
}

// Message returns the next message. Its error is a *ClosedError if the client has closed, an *Error if the client has
// broken the rules, else the error of Watch.Data or of the connection.
func (r *Reader) Message() (op Op, payload []byte, err error) {
	for {
		f, err := r.head()
		if err != nil {
			return 0, nil, err
		}
		if f.op.control() {
			if err := r.controlled(f); err != nil {
				return 0, nil, err
			}
			continue
		}
		if (f.op == Continuation) == (op == 0) {
			return 0, nil, broken("a frame continues nothing, or a message begins within another")
		}
		if f.op != Continuation {
			op = f.op
		}
		if int64(len(payload))+f.length > r.limits.Message {
			return 0, nil, &Error{StatusTooBig, fmt.Sprintf("messages have at most %d bytes", r.limits.Message)}
		}
		if err := r.watch.Data(f.op != Continuation, f.length); err != nil {
			return 0, nil, err
		}
		if payload, err = r.payload(payload, f); err != nil {
			return 0, nil, err
		}
		if !f.fin {
			continue
		}
		if op == Text && !utf8.Valid(payload) {
			return 0, nil, &Error{StatusNotUTF8, "a text is not UTF-8"}
		}
		return op, payload, nil
	}
}

// head reads and validates the head of a frame (RFC 6455 section 5.2).
func (r *Reader) head() (frame, error) {
	var b [8]byte
	if _, err := io.ReadFull(r.in, b[:2]); err != nil {
		return frame{}, err //nolint:wrapcheck // the connection's own
	}
	r.watch.Alive()
	f := frame{fin: b[0]&finBit != 0, op: Op(b[0] & opBits), length: int64(b[1] & lengthBits)}
	switch masked := b[1]&maskBit != 0; {
	case b[0]&reserved != 0:
		return f, broken("a reserved bit is set")
	case !masked:
		return f, broken("a frame of a client is not masked")
	case f.op > Binary && f.op < Close || f.op > Pong:
		return f, broken("a frame is of the unknown kind %d", f.op)
	case f.op.control() && (!f.fin || f.length > mostControl):
		return f, broken("a control frame is too long, or in pieces")
	}
	if err := r.length(&f, b[:]); err != nil {
		return f, err
	}
	if !f.op.control() && f.length > r.limits.Frame {
		return f, &Error{StatusTooBig, fmt.Sprintf("frames have at most %d bytes", r.limits.Frame)}
	}
	_, err := io.ReadFull(r.in, f.mask[:])
	return f, err //nolint:wrapcheck // the connection's own
}

// length reads a length that does not fit into the first two bytes.
func (r *Reader) length(f *frame, b []byte) error {
	switch f.length {
	case length16:
		if _, err := io.ReadFull(r.in, b[:2]); err != nil {
			return err //nolint:wrapcheck // the connection's own
		}
		f.length = int64(binary.BigEndian.Uint16(b))
	case length64:
		if _, err := io.ReadFull(r.in, b[:8]); err != nil {
			return err //nolint:wrapcheck // the connection's own
		}
		if f.length = int64(binary.BigEndian.Uint64(b)); f.length < 0 {
			return broken("a length has its highest bit set")
		}
	}
	return nil
}

// piece is how much memory is allocated for a payload before any of it has arrived.
const piece = 4 << 10

// payload appends a frame's payload to the part of the message that arrived before it. Its memory grows with the data
// that arrives, because claiming a large length in a head costs the client nothing.
func (r *Reader) payload(before []byte, f frame) ([]byte, error) {
	begin := len(before)
	for left := f.length; left > 0; {
		n := min(left, max(piece, int64(len(before)-begin)))
		at := len(before)
		before = append(before, make([]byte, n)...)
		if _, err := io.ReadFull(r.in, before[at:]); err != nil {
			return nil, err //nolint:wrapcheck // the connection's own
		}
		left -= n
	}
	for i := range before[begin:] {
		before[begin+i] ^= f.mask[i%maskBytes]
	}
	return before, nil
}

// controlled handles a control frame.
func (r *Reader) controlled(f frame) error {
	payload, err := r.payload(nil, f)
	if err != nil {
		return err
	}
	if f.op != Close {
		r.watch.Control(f.op, payload)
		return nil
	}
	switch {
	case len(payload) == 0:
		return &ClosedError{Status: StatusNone}
	case len(payload) == 1:
		return broken("a close frame has half a status")
	}
	status, reason := int(binary.BigEndian.Uint16(payload)), payload[2:]
	if !mayBeSaid(status) {
		return broken("a close frame has the status %d", status)
	}
	if !utf8.Valid(reason) {
		return &Error{StatusNotUTF8, "a reason is not UTF-8"}
	}
	return &ClosedError{Status: status, Reason: string(reason)}
}

// mayBeSaid reports whether a close frame may have a status (RFC 6455 section 7.4).
func mayBeSaid(status int) bool {
	const firstOfLibraries, last = 3000, 4999
	switch {
	case status >= firstOfLibraries && status <= last:
		return true
	case status < StatusNormal || status > 1014:
		return false
	default:
		return status != 1004 && status != StatusNone && status != StatusAbnormal
	}
}
