package exchange

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"unsafe"

	"github.com/weir-gateway/weir/internal/base/field"
)

// idName is the header field that carries the id of a request.
var idName = field.Named("X-Request-Id")

// idDigits is the number of digits of an id made by newID.
const idDigits = 32

// ready is the line of such an id without its digits, which stand before the last two bytes.
var (
	ready      idText
	readyBytes = copy(ready[:], idName.Line(strings.Repeat("0", idDigits)))
	readyAt    = readyBytes - len("\r\n") - idDigits
)

// idsTogether is the number of ids that share one allocation if their exchange is used again and again. Whatever keeps
// one of them keeps the memory of all.
const idsTogether = 8

// idRoom is memory for ids. No byte of it is given out twice, because strings share it.
type idRoom [idsTogether]idText

// idText is room for the line of an id.
type idText [64]byte

// line returns the line, which shares the memory of t: nobody may write to it any more.
func (t *idText) line() field.Line { return field.Line(unsafe.String(&t[0], readyBytes)) } //nolint:gosec // see above

// RequestID returns the id of the request: the one that it came with, or else a new one of random bits, which is made
// when it is asked for first. A route that withholds it from its backend needs none unless something is logged.
func (x *Exchange) RequestID() string {
	if x.ID == "" {
		x.newID(rand.Uint64(), rand.Uint64()) //nolint:gosec // it needs to be unique, not secret
	}
	return x.ID
}

// newID makes a 128-bit id in hexadecimal, which fits a W3C trace id too, and sets it as the id of x. Its text and its
// header field line are made together, because most requests need both.
func (x *Exchange) newID(a, b uint64) {
	text := x.roomForID()
	*text = ready
	to := text[readyAt:][:idDigits]
	binary.LittleEndian.PutUint64(to[0:], digits(a))
	binary.LittleEndian.PutUint64(to[8:], digits(a>>4))
	binary.LittleEndian.PutUint64(to[16:], digits(b))
	binary.LittleEndian.PutUint64(to[24:], digits(b>>4))
	x.idText = text
	x.ID = idOf(text.line())
}

// idOf returns the id in a line that newID has made.
func idOf(line field.Line) string { return string(line[readyAt:][:idDigits]) }

// roomForID returns memory that nothing else has.
func (x *Exchange) roomForID() *idText {
	if !x.again {
		return new(idText)
	}
	if x.idsLeft == 0 {
		x.idRoom, x.idsLeft = new(idRoom), idsTogether
	}
	x.idsLeft--
	return &x.idRoom[x.idsLeft]
}

// digits returns the hexadecimal digits of the lower half of each byte of v, all eight at once.
func digits(v uint64) uint64 {
	const each = 0x0101010101010101
	v &= each * 0x0f
	letters := (v + each*(16-10)) >> 4 & each // set where the half is 10 or more
	return v + each*'0' + letters*('a'-10-'0')
}

// IDLine returns the header field line that carries RequestID.
func (x *Exchange) IDLine() field.Line {
	id := x.RequestID()
	if x.idText != nil && idOf(x.idText.line()) == id {
		return x.idText.line()
	}
	return idName.Line(id)
}
