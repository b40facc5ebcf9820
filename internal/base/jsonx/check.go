package jsonx

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Raw is a checked JSON text, which Append writes as it is.
type Raw []byte

// Check is Parse for a text whose contents are not accessed. It copies nothing: the result is a part of data, which
// must not change while the result is used.
func Check(data []byte, options Options) (Raw, error) {
	if err := options.fits(data); err != nil {
		return nil, err
	}
	c := checker{text: data, depth: options.depth()}
	if root, ok := c.whole(); ok && !options.Unique {
		return Raw(data[root.start:root.end]), nil
	}
	v, err := Parse(data, options) // returns what is wrong
	return Raw(v.Raw()), err
}

// checker reports whether a text is one that a parser accepts. It records nothing of the contents, and so takes a fifth
// of the time. It does not say what is wrong; a parser does.
type checker struct {
	text  []byte
	at    int
	depth int // how much deeper it may go
}

// whole checks the one value that the text must consist of, and returns its item.
func (c *checker) whole() (root item, ok bool) {
	kind := kindOf(c.skip())
	start := c.at
	if !c.value() {
		return item{}, false
	}
	root = item{start: uint32(start), end: uint32(c.at), next: 1, kind: kind}
	c.skip()
	return root, c.at == len(c.text)
}

// kindOf returns the kind of a value that begins with this byte, assuming that the value is valid.
func kindOf(first byte) Kind {
	switch first {
	case '{':
		return Object
	case '[':
		return List
	case '"':
		return String
	case 't', 'f':
		return Bool
	case 'n':
		return Null
	default:
		return Number
	}
}

// skip skips blanks and returns the byte after them, 0 at the end.
func (c *checker) skip() byte {
	for c.at < len(c.text) {
		switch b := c.text[c.at]; b {
		case ' ', '\t', '\n', '\r':
			c.at++
		default:
			return b
		}
	}
	return 0
}

func (c *checker) value() bool {
	switch c.skip() {
	case '{':
		return c.container('}')
	case '[':
		return c.container(']')
	case '"':
		return c.str()
	case 't':
		return c.word("true")
	case 'f':
		return c.word("false")
	case 'n':
		return c.word("null")
	default:
		return c.number()
	}
}

func (c *checker) word(w string) bool {
	if len(c.text)-c.at < len(w) || string(c.text[c.at:c.at+len(w)]) != w {
		return false
	}
	c.at += len(w)
	return true
}

// container checks an object or a list; end is its last byte.
func (c *checker) container(end byte) bool {
	if c.depth == 0 {
		return false
	}
	c.depth--
	c.at++
	if c.skip() == end {
		c.at++
		c.depth++
		return true
	}
	for {
		if end == '}' && !c.name() || !c.value() {
			return false
		}
		switch c.skip() {
		case ',':
			c.at++
		case end:
			c.at++
			c.depth++
			return true
		default:
			return false
		}
	}
}

// name reads the name of a member, and the colon.
func (c *checker) name() bool {
	if c.skip() != '"' || !c.str() || c.skip() != ':' {
		return false
	}
	c.at++
	return true
}

// number checks RFC 8259 section 6: [-] int [frac] [exp].
func (c *checker) number() bool {
	if c.is('-') {
		c.at++
	}
	if c.is('0') {
		c.at++
	} else if !c.digits() {
		return false
	}
	if c.is('.') {
		c.at++
		if !c.digits() {
			return false
		}
	}
	if c.is('e') || c.is('E') {
		c.at++
		if c.is('+') || c.is('-') {
			c.at++
		}
		return c.digits()
	}
	return true
}

func (c *checker) is(b byte) bool { return c.at < len(c.text) && c.text[c.at] == b }

func (c *checker) digits() bool {
	start := c.at
	for c.at < len(c.text) && c.text[c.at]-'0' <= 9 {
		c.at++
	}
	return c.at > start
}

// str checks a string, with its escapes and UTF-8.
func (c *checker) str() bool {
	c.at++
	start, ascii := c.at, true
	for {
		c.at += plainBytes(c.text[c.at:])
		if c.at == len(c.text) {
			return false
		}
		switch b := c.text[c.at]; {
		case b == '"':
			whole := c.text[start:c.at]
			c.at++
			return ascii || utf8.Valid(whole)
		case b == '\\':
			if !c.escape() {
				return false
			}
		case b < ' ':
			return false
		default:
			ascii = false
			c.at++
		}
	}
}

func (c *checker) escape() bool {
	n := escapeLength(string(c.text[c.at:min(len(c.text), c.at+longestEscape)]))
	c.at += n
	return n > 0
}

// longestEscape is the length of \u0000.
const longestEscape = 6

// plainBytes returns how many bytes at the beginning of s are ASCII characters that stand for themselves in a string.
// It looks at eight bytes at a time.
func plainBytes(s []byte) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(s)-n >= 8; n += 8 {
		x := binary.LittleEndian.Uint64(s[n:])
		quote, slash := x^(ones*'"'), x^(ones*'\\')
		// The high bit of each byte that is not plain, and perhaps of some bytes after the first such byte.
		other := (x | (x - ones*' ') | (quote - ones) | (slash - ones)) & highs
		if other != 0 {
			return n + bits.TrailingZeros64(other)/8
		}
	}
	for ; n < len(s); n++ {
		if b := s[n]; b < ' ' || b == '"' || b == '\\' || b >= utf8.RuneSelf {
			break
		}
	}
	return n
}
