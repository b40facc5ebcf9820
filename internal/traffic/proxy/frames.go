package proxy

import "encoding/binary"

// frames follows one direction of a WebSocket (RFC 6455 section 5.2) to know
// where messages end. It judges nothing: what passes is for the two ends to agree on.
type frames struct {
	head   [14]byte // of the frame that begins, as far as it came
	got    int      // bytes of it
	left   uint64   // bytes of its payload that are still to come
	within bool     // further frames of the message are to come
	closed bool     // a close frame has passed
	lost   bool     // it is no WebSocket, or a broken one
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

// between tells whether a frame may be put in here: one message has ended and no
// other has begun, and none is the last one.
func (f *frames) between() bool {
	return f.got == 0 && f.left == 0 && !f.within && !f.closed && !f.lost
}

// next passes b until the end of a frame, and tells how much of b that is.
func (f *frames) next(b []byte) int {
	at := 0
	for at < len(b) && !f.lost {
		if f.left == 0 && f.got < f.headBytes() {
			n := copy(f.head[f.got:f.headBytes()], b[at:])
			f.got += n
			at += n
			if f.got < f.headBytes() {
				continue // the first bytes say how many there are
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

// headBytes is how long the head is, as far as that is known.
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

// begin reads a head that is whole.
func (f *frames) begin() {
	switch size := f.head[1] & length7; size {
	case 126:
		f.left = uint64(binary.BigEndian.Uint16(f.head[2:]))
	case 127:
		if f.left = binary.BigEndian.Uint64(f.head[2:]); f.left>>63 != 0 { // which no length has
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
