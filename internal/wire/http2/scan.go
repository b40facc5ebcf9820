package http2

import "encoding/binary"

// Frame is one HTTP/2 frame (RFC 9113 section 4.1). Of its payload, only the first bytes are kept.
type Frame struct {
	Length uint32 // of the payload
	Stream uint32
	Type   Type
	Flags  Flags
	lead   [leadBytes]byte
}

// Type is the type of a frame (RFC 9113 section 6).
type Type uint8

// The types of frames.
const (
	Data         Type = 0x0
	Headers      Type = 0x1
	Priority     Type = 0x2
	RSTStream    Type = 0x3
	Settings     Type = 0x4
	PushPromise  Type = 0x5
	Ping         Type = 0x6
	GoAway       Type = 0x7
	WindowUpdate Type = 0x8
	Continuation Type = 0x9
)

// Flags of a frame; the meaning of a bit depends on the type.
type Flags uint8

// The flags that are used here.
const (
	EndStream  Flags = 0x1 // of Data and Headers
	Ack        Flags = 0x1 // of Settings and Ping
	EndHeaders Flags = 0x4 // of Headers and Continuation
	Padded     Flags = 0x8 // of Data and Headers

	priority Flags = 0x20 // of Headers: they begin with priority fields
)

// Has reports whether all bits of g are set.
func (f Flags) Has(g Flags) bool { return f&g == g }

const (
	headBytes = 9
	leadBytes = 8 // of the payload that are kept: last stream and code of a GOAWAY
)

// Number returns the first four bytes of the payload as an unsigned number: the code of an RST_STREAM, the increment of
// a WINDOW_UPDATE. Missing bytes count as 0.
func (f *Frame) Number() uint32 { return binary.BigEndian.Uint32(f.lead[:4]) }

// Content returns how many bytes of content a DATA frame carries, without padding.
func (f *Frame) Content() uint32 {
	if !f.Flags.Has(Padded) {
		return f.Length
	}
	return f.Length - min(f.Length, 1+uint32(f.lead[0]))
}

// fragment returns the start and end, within the payload, of the piece of a header block that a HEADERS or CONTINUATION
// frame carries.
func (f *Frame) fragment() (from, to uint32) {
	const priorityBytes = 5
	to = f.Length
	if f.Type != Headers {
		return 0, to
	}
	if f.Flags.Has(Padded) {
		from, to = 1, to-min(to, uint32(f.lead[0]))
	}
	if f.Flags.Has(priority) {
		from += priorityBytes
	}
	return from, to
}

// Scanner finds the frames in a stream of bytes that arrives in pieces of any size. It copies only the bytes that it
// keeps of a frame, and validates nothing. The zero value is at the beginning of a frame.
type Scanner struct {
	frame Frame
	head  [headBytes]byte
	have  uint8  // bytes of head seen so far
	seen  uint32 // bytes of the payload seen so far
}

// Scan reads b up to the end of the current frame and returns how many bytes that took. whole reports whether the end
// of the frame was reached; Frame then returns that frame until the next call.
func (s *Scanner) Scan(b []byte) (n int, whole bool) {
	if s.have < headBytes {
		if n = s.scanHead(b); s.have < headBytes {
			return n, false
		}
	}
	n += s.scanPayload(b[n:])
	if s.seen < s.frame.Length {
		return n, false
	}
	s.have, s.seen = 0, 0
	return n, true
}

// Frame returns the frame whose head was seen last.
func (s *Scanner) Frame() *Frame { return &s.frame }

// Between reports whether the next byte begins a frame.
func (s *Scanner) Between() bool { return s.have == 0 }

// headLeft returns how many bytes of a frame's head are still to come.
func (s *Scanner) headLeft() int { return int(headBytes - s.have) }

// inHead reports whether a frame's head has begun and is not complete.
func (s *Scanner) inHead() bool { return s.have > 0 && s.have < headBytes }

// inPayload reports whether the head of a frame is complete and its payload is not.
func (s *Scanner) inPayload() bool { return s.have == headBytes }

func (s *Scanner) scanHead(b []byte) (n int) {
	if s.have == 0 && len(b) >= headBytes { // the usual case
		s.begin((*[headBytes]byte)(b))
		return headBytes
	}
	n = copy(s.head[s.have:], b)
	if s.have += uint8(n); s.have == headBytes {
		s.begin(&s.head)
	}
	return n
}

func (s *Scanner) begin(head *[headBytes]byte) {
	s.have = headBytes
	s.frame = Frame{
		Length: uint32(head[0])<<16 | uint32(head[1])<<8 | uint32(head[2]),
		Type:   Type(head[3]),
		Flags:  Flags(head[4]),
		Stream: binary.BigEndian.Uint32(head[5:]) &^ (1 << 31),
	}
}

func (s *Scanner) scanPayload(b []byte) (n int) {
	n = int(min(uint32(len(b)), s.frame.Length-s.seen))
	if s.seen < leadBytes {
		copy(s.frame.lead[s.seen:], b[:n])
	}
	s.seen += uint32(n)
	return n
}
