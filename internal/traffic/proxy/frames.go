package proxy

import "encoding/binary"

// frames follows one direction of a WebSocket (RFC 6455 section 5.2) to know where messages
// end. It validates nothing: that is for the two ends.
type frames struct {
	head   [14]byte // head of the current frame, as far as it has come
	got    int      // bytes of head that have come
	left   uint64   // payload bytes that are still to come
	within bool     // further frames of the message follow
	closed bool     // a close frame has passed
	lost   bool     // it is not a WebSocket, or a broken one
}

// The bits of the first two bytes.
const (
	finBit    = 0x80
	opcode    = 0x0f
	opClose   = 0x8
	opControl = 0x8 // set in the opcodes of control frames
	maskBit   = 0x80
	length7   = 0x7f
)

// between reports whether a frame may be inserted here: a message has ended, no other has
// begun, and no close frame has passed.
func (f *frames) between() bool {
	return f.got == 0 && f.left == 0 && !f.within && !f.closed && !f.lost
}

// next reads b up to the end of a frame, and returns how many bytes that is.
func (f *frames) next(b []byte) int {
	at := 0
	for at < len(b) && !f.lost {
		if f.left == 0 && f.got < f.headBytes() {
			n := copy(f.head[f.got:f.headBytes()], b[at:])
			f.got += n
			at += n
			if f.got < f.headBytes() {
				continue // the first bytes say how long the head is
			}
			f.begin()
		}
		n := min(f.left, uint64(len(b)-at))
		f.left -= n
		at += int(n)
		if f.left == 0 && f.got == 0 {
			return at
		}
	}
	return len(b)
}

// headBytes returns the length of the head, as far as it is known.
func (f *frames) headBytes() int {
	if f.got < 2 {
		return 2
	}
	n := 2
	switch f.head[1] & length7 {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if f.head[1]&maskBit != 0 {
		n += 4
	}
	return n
}

// begin parses a complete head.
func (f *frames) begin() {
	switch size := f.head[1] & length7; size {
	case 126:
		f.left = uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		if f.left = binary.BigEndian.Uint64(f.head[2:]); f.left>>63 != 0 { // no length has this bit
			f.left, f.lost = 0, true
		}
	default:
		f.left = uint64(size)
	}
	f.got = 0
	switch op := f.head[0] & opcode; {
	case op == opClose:
		f.closed = true
	case op&opControl == 0:
		f.within = f.head[0]&finBit == 0
	}
}
