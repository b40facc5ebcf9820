// Package field is one field of a message's head (RFC 9110 section 5): what may be its name and its value, which
// names Weir itself heeds, and a Line, the one string that a field is from when it was received until it is sent.
//
// What is known of a line goes with it, so that it is found out once: not again by each that strips, copies,
// judges or writes a head.
package field
