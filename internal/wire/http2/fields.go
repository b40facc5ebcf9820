package http2

// fieldCounter counts the fields of a header block (RFC 7541 section 6) without decompressing them. It also counts
// changes of the table size, which cost as much. An attacker can refer to a large field again and again with one byte
// each time; this counter measures what that costs. The block may arrive in pieces of any size. Encodings that every
// decoder rejects are not judged here. The zero value is at the beginning of a block.
type fieldCounter struct {
	fields  int
	at      part
	strings uint8  // of the current field that are still to come
	number  uint64 // the number being read: the length of a string, or an index
	shift   uint8  // of the number's next bits
	index   bool   // the number is an index, or a size
}

// part is what the next byte of a header block belongs to.
type part uint8

const (
	fieldStart  part = iota
	numberRest       // of an index, a size or a length that does not fit into its first byte
	lengthStart      // of a string
	text             // of a string
	nonsense         // every decoder rejects the block
)

// maxShift is how far a decoder reads a number (golang.org/x/net/http2/hpack).
const maxShift = 63

// scan continues with b, the next piece of the block.
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
	prefix := uint8(4) // literal without indexing, or never indexed
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
	if first&(1<<prefix-1) == 0 { // the name is not an index
		c.strings = 2
	}
	c.begin(uint64(first), prefix, true)
}

// begin reads the byte in whose last bits a number begins.
func (c *fieldCounter) begin(first uint64, bits uint8, index bool) {
	most := uint64(1)<<bits - 1
	c.number, c.index, c.shift = first&most, index, 0
	if c.number == most {
		c.at = numberRest
		return
	}
	c.counted()
}

// more reads another byte of a number.
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

// counted continues after a complete number.
func (c *fieldCounter) counted() {
	if c.index || c.number == 0 {
		c.next()
		return
	}
	c.at = text
}

// next moves on to the next string of the field, or to the next field.
func (c *fieldCounter) next() {
	c.at = fieldStart
	if c.strings > 0 {
		c.strings--
		c.at = lengthStart
	}
}
