package field

import "encoding/binary"

// names says which bytes a name may consist of: those of the token of RFC 9110 section 5.6.2.
var names = func() (is [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
		is[c] = true
	}
	return is
}()

// IsNameByte reports whether c may occur in a name, or any other token.
func IsNameByte(c byte) bool { return names[c] }

// IsName reports whether b may be a name: it is a token, which is never empty.
func IsName[text string | []byte](b text) bool {
	for i := range len(b) {
		if !names[b[i]] {
			return false
		}
	}
	return len(b) > 0
}

// IsValue reports whether b may be a value: it has no control characters except tabs (RFC 9110 section 5.5). Almost all
// values have no tabs either, so eight bytes are checked at once where there are that many.
func IsValue(b []byte) bool {
	if len(b) < wordBytes {
		return eachMayStand(b)
	}
	last := len(b) - wordBytes
	for i := 0; i < last; i += wordBytes {
		if !allFrom(' ', binary.LittleEndian.Uint64(b[i:])) {
			return eachMayStand(b[i:])
		}
	}
	return allFrom(' ', binary.LittleEndian.Uint64(b[last:])) || eachMayStand(b[last:])
}

// IsWord reports whether no byte of b ends a part of a head, or the head itself: there are neither control characters
// nor blanks.
func IsWord(b []byte) bool {
	if len(b) >= wordBytes {
		last := len(b) - wordBytes
		for i := 0; i < last; i += wordBytes {
			if !allFrom('!', binary.LittleEndian.Uint64(b[i:])) {
				return false
			}
		}
		return allFrom('!', binary.LittleEndian.Uint64(b[last:]))
	}
	for _, c := range b {
		if c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// MayStand reports whether a value may contain c.
func MayStand(c byte) bool { return c >= ' ' && c != 0x7f || c == '\t' }

func eachMayStand(b []byte) bool {
	for _, c := range b {
		if !MayStand(c) {
			return false
		}
	}
	return true
}

// Eight bytes are checked at once (H. S. Warren, Hacker's Delight, chapter 6): the result for each byte is its highest
// bit. No step carries from one byte to the next, unless a lower byte was bad.
const (
	wordBytes = 8
	eachByte  = 0x0101010101010101
	eachTop   = 0x80 * eachByte
)

// allFrom reports whether no byte of a word is below least, or is DEL.
func allFrom(least byte, word uint64) bool {
	const del = 0x7f * eachByte
	deleted := word ^ del
	return ((word-uint64(least)*eachByte)&^word|(deleted-eachByte)&^deleted)&eachTop == 0
}
