package http2

// fieldCounter counts the fields of a header block (RFC 7541 section 6) without
// unpacking them, and changes of the table's size, which cost as much. An attacker
// names a large field again and again in one byte each; what that costs is what is
// counted here. The block may come in pieces of any size. What no decoder takes is
// not judged. The zero value stands at the beginning of a block.
type fieldCounter struct {
	fields  int
	at      part
	strings uint8  // of the field at hand that are still to come
	number  uint64 // that is being read: the length of a string, or an index
	shift   uint8  // of its next bits
	index   bool   // it is an index, or a size
}

// part is what the next byte of a header block is.
type part uint8

const (
	fieldStart  part = iota
	numberRest       // of an index, a size or a length that its first byte does not hold
	lengthStart      // of a string
	text             // of a string
	nonsense         // that every decoder refuses
)

// maxShift is how far a decoder follows a number (golang.org/x/net/http2/hpack).
const maxShift = 63

// scan goes on with b, the next piece of the block.
func (c *fieldCounter) scan(b []byte) {
	for len(b) > 0 {
		switch c.at {
		case fieldStart:
			c.start(b[0])
		case lengthStart:
			c.begin(uint64(b[0]), 7, false)
		case numberRest:
			c.more(b[0])
		case text:
			n := min(c.number, uint64(len(b)))
			b = b[n:]
			if c.number -= n; c.number == 0 {
				c.next()
			}
			continue
		case nonsense:
			return
		}
		b = b[1:]
	}
}

// start reads the first byte of a field.
func (c *fieldCounter) start(first byte) {
	c.fields++
	c.strings = 0
	prefix := uint8(4) // not indexed, or never
	switch {
	case first&0x80 != 0: // indexed
		c.begin(uint64(first), 7, true)
		return
	case first&0x40 != 0: // with incremental indexing
		prefix = 6
	case first&0x20 != 0: // the table's size
		c.begin(uint64(first), 5, true)
		return
	}
	c.strings = 1
	if first&(1<<prefix-1) == 0 { // the name is no index
		c.strings = 2
	}
	c.begin(uint64(first), prefix, true)
}

// begin reads the byte that a number begins in, in its last bits.
func (c *fieldCounter) begin(first uint64, bits uint8, index bool) {
	most := uint64(1)<<bits - 1
	c.number, c.index, c.shift = first&most, index, 0
	if c.number == most {
		c.at = numberRest
		return
	}
	c.counted()
}

// more reads a further byte of a number.
func (c *fieldCounter) more(b byte) {
	c.number += uint64(b&0x7f) << c.shift
	c.shift += 7
	switch {
	case b&0x80 == 0:
		c.counted()
	case c.shift >= maxShift:
		c.at = nonsense
	}
}

// counted goes on behind a number.
func (c *fieldCounter) counted() {
	if c.index || c.number == 0 {
		c.next()
		return
	}
	c.at = text
}

// next goes on to the next string of the field, or to the next field.
func (c *fieldCounter) next() {
	c.at = fieldStart
	if c.strings > 0 {
		c.strings--
		c.at = lengthStart
	}
}
