package field

import "strings"

// Line is a field line in one string: what is known of it, then the line as it is sent, with CR LF. Lines are made
// by Make, or cut out of what Append has appended; "" is none.
//
//	| Known | length of the name, 3 bytes | name | ": " | value | CR LF |
type Line string

// The parts of a Line.
const (
	before    = 4 // bytes, before what is sent
	separator = ": "
	end       = "\r\n"
	// LongestName is how long a name may be: longer ones are no field's.
	LongestName = 1<<24 - 1
)

// Name is a name that is made ready to make lines of.
type Name struct {
	text  string
	begin string // of its lines, up to the value
}

// Named makes a name ready.
func Named(text string) Name { return Name{text, beginning(text)} }

func (n Name) String() string { return n.text }

// beginning is how lines of that name begin; "" where it is empty or longer than LongestName.
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

// Make makes a line of any name and value: what cannot be sent as it is, is odd (see Wire). A name that is empty or longer
// than LongestName makes none.
func Make(name, value string) Line {
	n := len(name)
	if n == 0 || n > LongestName {
		return ""
	}
	return Line(string([]byte{byte(firstOf(name, value)), byte(n), byte(n >> 8), byte(n >> 16)}) + name + separator + value + end)
}

// Append appends what a Line is of to text: the caller has found that the name is one, that k is which, and that the value may
// stand and neither begins nor ends with a blank.
func Append(text []byte, k Known, name, value []byte) []byte {
	n := len(name)
	text = append(text, byte(k), byte(n), byte(n>>8), byte(n>>16))
	text = append(append(text, name...), separator...)
	return append(append(text, value...), end...)
}

// Size is how many bytes a Line of that name and value has.
func Size(name, value string) int {
	if len(name) == 0 || len(name) > LongestName {
		return 0
	}
	return before + len(name) + len(separator) + len(value) + len(end)
}

// AppendAny is Append of any name and value. Of what makes no line it appends nothing.
func AppendAny(text []byte, name, value string) []byte {
	n := len(name)
	if n == 0 || n > LongestName {
		return text
	}
	text = append(text, byte(firstOf(name, value)), byte(n), byte(n>>8), byte(n>>16))
	text = append(append(text, name...), separator...)
	return append(append(text, value...), end...)
}

// firstOf is what a line of any name and value begins with.
func firstOf(name, value string) Known {
	first := Know(name)
	if !IsName(name) || !isPlain(value) {
		first |= odd
	}
	return first
}

// isPlain tells whether a value can be sent as it is: it may stand, and a receiver takes no blanks from its ends.
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

// Wire gives the line as it is sent, where it may be sent like this.
func (l Line) Wire() (wire string, ok bool) { return string(l[before:]), Known(l[0])&odd == 0 }

// Begins tells whether b begins with the very line, as a message would be that has it.
func (l Line) Begins(b []byte) (length int, ok bool) {
	n := len(l) - before
	return n, n > 0 && len(b) >= n && string(b[:n]) == string(l[before:])
}

// lowers is the bit by which a small letter differs from its capital.
const lowers = 'a' - 'A'

// Is tells whether the line is of that name, in any case. "" is no line's. Most names differ in their lengths, which whoever looks for
// one finds out without a call.
func (l Line) Is(name string) bool { return l != "" && l[1] == byte(len(name)) && l.isSpelled(name) }

// isSpelled is Is. Most who spell a name spell it canonically, and names of the same length seldom begin alike.
func (l Line) isSpelled(name string) bool {
	if l.nameEnd() != before+len(name) || name == "" || (l[before]^name[0])|lowers != lowers {
		return false
	}
	own := l.Name()
	return own == name || strings.EqualFold(own, name)
}

// Says tells whether the line is of that very name and value.
func (l Line) Says(name, value string) bool {
	return len(l) == before+len(name)+len(separator)+len(value)+len(end) && l.nameEnd() == before+len(name) && l.Name() == name && l.Value() == value
}
