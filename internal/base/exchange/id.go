package exchange

import (
	"encoding/binary"
	"strings"
	"unsafe"

	"github.com/weir-gateway/weir/internal/base/field"
)

// idName is the header field that carries the id of a request.
var idName = field.Named("X-Request-Id")

// idDigits is the number of digits of an id made by NewID.
const idDigits = 32

// ready is the line of such an id without its digits, which stand before the last two bytes.
var (
	ready      [64]byte
	readyBytes = copy(ready[:], idName.Line(strings.Repeat("0", idDigits)))
	readyAt    = readyBytes - len("\r\n") - idDigits
)

// NewID makes a 128-bit id in hexadecimal, which fits a W3C trace id too, and sets it as the id of x. Its text and its
// header field line are made together, because most requests need both.
func (x *Exchange) NewID(a, b uint64) {
	if len(x.idRoom) == 0 {
		x.idRoom = make([]byte, readyBytes)
	}
	text := x.idRoom[:readyBytes]
	x.idRoom = x.idRoom[readyBytes:]
	copy(text, ready[:])
	to := text[readyAt:][:idDigits]
	binary.LittleEndian.PutUint64(to[0:], digits(a))
	binary.LittleEndian.PutUint64(to[8:], digits(a>>4))
	binary.LittleEndian.PutUint64(to[16:], digits(b))
	binary.LittleEndian.PutUint64(to[24:], digits(b>>4))
	x.idLine = field.Line(unsafe.String(&text[0], readyBytes)) //nolint:gosec // text is never written to again
	x.ID = string(x.idLine[readyAt:][:idDigits])
}

// idsTogether is for how many ids memory is allocated at once. Whatever keeps one of these ids keeps the memory of all.
const idsTogether = 8

// roomForIDs returns what is left of an exchange's idRoom for the next use of the exchange, or new room.
func roomForIDs(left []byte) []byte {
	if len(left) > 0 {
		return left
	}
	return make([]byte, idsTogether*readyBytes)
}

// digits returns the hexadecimal digits of the lower half of each byte of v, all eight at once.
func digits(v uint64) uint64 {
	const each = 0x0101010101010101
	v &= each * 0x0f
	letters := (v + each*(16-10)) >> 4 & each // set where the half is 10 or more
	return v + each*'0' + letters*('a'-10-'0')
}

// IDLine returns the header field line that carries the id; "" if there is no id.
func (x *Exchange) IDLine() field.Line {
	switch {
	case x.ID == "":
		return ""
	case x.idLine != "" && x.idLine.Value() == x.ID:
		return x.idLine
	}
	return idName.Line(x.ID)
}
