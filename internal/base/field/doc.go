// Package field is one header field of a message (RFC 9110 section 5): what its name and its value may be, which names
// Weir itself acts on, and Line, the one string that represents a field from when it is received until it is sent.
//
// What is known about a line is part of it, so that it is determined once, and not again by all code that strips,
// copies, examines or writes a head.
package field
