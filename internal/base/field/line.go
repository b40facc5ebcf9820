package field

import "strings"

// Line is a field line in one string: what is known about it, then the line as it is sent, with CR LF. Lines are made
// by Make, or cut out of what Append has appended; "" is no line.
//
//	| Known | length of the name, 3 bytes | name | ": " | value | CR LF |
type Line string

// The parts of a Line.
const (
	before    = 4 // bytes before the part that is sent
	separator = ": "
	end       = "\r\n"
	// LongestName is the maximum length of a name: no field has a longer one.
	LongestName = 1<<24 - 1
)

// Name is a name that is prepared for making lines.
type Name struct {
	text  string
	begin string // of its lines, up to the value
}

// Named prepares a name.
func Named(text string) Name { return Name{text, beginning(text)} }

func (n Name) String() string { return n.text }

// beginning returns how lines of that name begin; "" if the name is empty or longer than LongestName.
func beginning(name string) string {
	n := len(name)
	if n == 0 || n > LongestName {
		return ""
	}
	first := Know(name)
	if !IsName(name) {
		first |= odd
	}
	return string([]byte{byte(first), byte(n), byte(n >> 8), byte(n >> 16)}) + name + separator
}

// Line makes a line of that name and any value.
func (n Name) Line(value string) Line {
	switch {
	case n.begin == "":
		return ""
	case !isPlain(value):
		return Line(string([]byte{n.begin[0] | byte(odd)}) + n.begin[1:] + value + end)
	}
	return Line(n.begin + value + end)
}

// Make makes a line of any name and value. A line that cannot be sent as it is is odd (see Wire). A name that is empty
// or longer than LongestName makes no line.
func Make(name, value string) Line {
	n := len(name)
	if n == 0 || n > LongestName {
		return ""
	}
	return Line(string([]byte{byte(firstOf(name, value)), byte(n), byte(n >> 8), byte(n >> 16)}) + name + separator + value + end)
}

// Append appends the bytes of a Line to text. The caller has checked that the name is valid, that k is its Known, and
// that the value is valid and neither begins nor ends with a blank.
func Append(text []byte, k Known, name, value []byte) []byte {
	n := len(name)
	text = append(text, byte(k), byte(n), byte(n>>8), byte(n>>16))
	text = append(append(text, name...), separator...)
	return append(append(text, value...), end...)
}

// Size is the number of bytes of a Line of that name and value.
func Size(name, value string) int {
	if len(name) == 0 || len(name) > LongestName {
		return 0
	}
	return before + len(name) + len(separator) + len(value) + len(end)
}

// AppendAny is Append for any name and value. It appends nothing for a name that makes no line.
func AppendAny(text []byte, name, value string) []byte {
	n := len(name)
	if n == 0 || n > LongestName {
		return text
	}
	text = append(text, byte(firstOf(name, value)), byte(n), byte(n>>8), byte(n>>16))
	text = append(append(text, name...), separator...)
	return append(append(text, value...), end...)
}

// firstOf returns the first byte of a line of any name and value.
func firstOf(name, value string) Known {
	first := Know(name)
	if !IsName(name) || !isPlain(value) {
		first |= odd
	}
	return first
}

// isPlain reports whether a value can be sent as it is: it is valid, and has no blanks at its ends that a receiver
// would remove.
func isPlain(value string) bool {
	n := len(value)
	return (n == 0 || value[0] > ' ' && value[n-1] > ' ') && IsValue([]byte(value))
}

// Known is which name the line has.
func (l Line) Known() Known { return Known(l[0]) &^ odd }

// nameEnd is where the name ends.
func (l Line) nameEnd() int { return before + (int(l[1]) | int(l[2])<<8 | int(l[3])<<16) }

// Name is the name as it was spelled.
func (l Line) Name() string { return string(l[before:l.nameEnd()]) }

// Value is the value.
func (l Line) Value() string { return string(l[l.nameEnd()+len(separator) : len(l)-len(end)]) }

// Wire returns the line as it is sent, and whether it may be sent like that.
func (l Line) Wire() (wire string, ok bool) { return string(l[before:]), Known(l[0])&odd == 0 }

// Begins reports whether b begins with exactly this line as it is sent, and returns the length of that.
func (l Line) Begins(b []byte) (length int, ok bool) {
	n := len(l) - before
	return n, n > 0 && len(b) >= n && string(b[:n]) == string(l[before:])
}

// lowers is the bit by which a lower-case letter differs from its capital.
const lowers = 'a' - 'A'

// Is reports whether the line has that name, in any case. "" is no line's name. Most names differ in their lengths,
// which callers find out without a call, as this method is inlined.
func (l Line) Is(name string) bool { return l != "" && l[1] == byte(len(name)) && l.isSpelled(name) }

// isSpelled is the rest of Is. Most code spells names canonically, and names of the same length seldom begin with the
// same letter.
func (l Line) isSpelled(name string) bool {
	if l.nameEnd() != before+len(name) || name == "" || (l[before]^name[0])|lowers != lowers {
		return false
	}
	own := l.Name()
	return own == name || strings.EqualFold(own, name)
}

// Says reports whether the line has exactly that name and value.
func (l Line) Says(name, value string) bool {
	return len(l) == before+len(name)+len(separator)+len(value)+len(end) && l.nameEnd() == before+len(name) && l.Name() == name && l.Value() == value
}
