// Package abuse attacks the real binary as its worst clients would.
//
// As tests it checks that each attack ends: after how many frames, and with how many connections left. With -full,
// which `make bench-abuse` passes, it runs the attacks at full strength against Weir and against nginx in front of the
// same backend, and prints what they cost. No result depends on time, processor or memory.
package abuse
