package http2

import "encoding/binary"

// Frame is one frame of HTTP/2 (RFC 9113 section 4.1) without its payload, of
// which only the first bytes are kept.
type Frame struct {
	Length uint32 // of the payload
	Stream uint32
	Type   Type
	Flags  Flags
	lead   [leadBytes]byte
}

// Type is what a frame is for (RFC 9113 section 6).
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

// Flags of a frame; what a bit means depends on the type.
type Flags uint8

// The flags that are looked at.
const (
	EndStream  Flags = 0x1 // of Data and Headers
	Ack        Flags = 0x1 // of Settings and Ping
	EndHeaders Flags = 0x4 // of Headers and Continuation
	Padded     Flags = 0x8 // of Data and Headers

	priority Flags = 0x20 // of Headers: they begin with one
)

// Has tells whether all bits of g are set.
func (f Flags) Has(g Flags) bool { return f&g == g }

const (
	headBytes = 9
	leadBytes = 8 // of the payload that are kept: last stream and code of a GOAWAY
)

// Number gives the first four bytes of the payload as an unsigned number: the
// code of an RST_STREAM, the increment of a WINDOW_UPDATE. Bytes that the frame
// does not have are 0.
func (f *Frame) Number() uint32 { return binary.BigEndian.Uint32(f.lead[:4]) }

// Content gives how many bytes of content a DATA frame carries, without padding.
func (f *Frame) Content() uint32 {
	if !f.Flags.Has(Padded) {
		return f.Length
	}
	return f.Length - min(f.Length, 1+uint32(f.lead[0]))
}

// fragment gives where the piece of a header block that a HEADERS or CONTINUATION
// frame carries begins and ends in its payload.
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

// Scanner finds the frames in a stream of bytes that comes in pieces of any
// size. It copies at most the bytes that it keeps of a frame, and judges nothing.
// The zero value stands at the beginning of a frame.
type Scanner struct {
	frame Frame
	head  [headBytes]byte
	have  uint8  // bytes of head that were seen
	seen  uint32 // bytes of the payload that were seen
}

// Scan reads b up to the end of the frame that it stands in and gives how many
// bytes that were. whole tells that the frame was seen to its end; it is then
// what Frame gives until the next call.
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

// Frame is the frame whose head was seen last.
func (s *Scanner) Frame() *Frame { return &s.frame }

// Between tells that the next byte begins a frame.
func (s *Scanner) Between() bool { return s.have == 0 }

// headLeft is how many bytes of the head of a frame are still to come.
func (s *Scanner) headLeft() int { return int(headBytes - s.have) }

// inHead tells that the head of a frame has begun and is not whole.
func (s *Scanner) inHead() bool { return s.have > 0 && s.have < headBytes }

// inPayload tells that the payload of a frame is not whole.
func (s *Scanner) inPayload() bool { return s.have == headBytes }

func (s *Scanner) scanHead(b []byte) (n int) {
	if s.have == 0 && len(b) >= headBytes { // as nearly always
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
