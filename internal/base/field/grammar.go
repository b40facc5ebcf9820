package field

import "encoding/binary"

// names tells which bytes names are made of, the token of RFC 9110 section 5.6.2.
var names = func() (is [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
		is[c] = true
	}
	return is
}()

// IsNameByte tells whether names, and all other tokens, are made of bytes like c.
func IsNameByte(c byte) bool { return names[c] }

// IsName tells whether b may be a name: it is a token, and those are never empty.
func IsName[text string | []byte](b text) bool {
	for i := range len(b) {
		if !names[b[i]] {
			return false
		}
	}
	return len(b) > 0
}

// IsValue tells whether b may stand in a value: it has no control characters but tabs (RFC 9110 section 5.5). Nearly
// every value is without those too, so that eight bytes are judged at once where there are as many.
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

// IsWord tells whether no byte of b ends a part of a head, nor the head: there are neither controls nor blanks.
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

// MayStand tells whether a value may hold c.
func MayStand(c byte) bool { return c >= ' ' && c != 0x7f || c == '\t' }

func eachMayStand(b []byte) bool {
	for _, c := range b {
		if !MayStand(c) {
			return false
		}
	}
	return true
}

// Eight bytes are judged at once (H. S. Warren, Hacker's Delight, chapter 6): what is asked of each of them shows in its
// highest bit. No step carries from one byte to the next, but where a byte below was bad.
const (
	wordBytes = 8
	eachByte  = 0x0101010101010101
	eachTop   = 0x80 * eachByte
)

// allFrom tells whether no byte of a word is below least, nor DEL.
func allFrom(least byte, word uint64) bool {
	const del = 0x7f * eachByte
	deleted := word ^ del
	return ((word-uint64(least)*eachByte)&^word|(deleted-eachByte)&^deleted)&eachTop == 0
}
