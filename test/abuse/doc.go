// Package abuse attacks the real binary as its worst clients would.
//
// In the tests it holds that each attack ends: by what number of frames, and with
// how many connections left. With -full, which `make bench-abuse` gives, it plays
// them at full strength against Weir and against nginx, in front of the same
// backend, and prints what they cost. Nothing is judged by time, processor or
// memory.
package abuse
