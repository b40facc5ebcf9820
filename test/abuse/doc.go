// Package abuse attacks the real binary as its worst clients would.
//
// The tests check that each attack ends: within how many frames, and with how many connections left. With -full,
// which `make bench-abuse` sets, the attacks run at full strength against Weir and nginx in front of the same
// backend, and their costs are printed. No test passes or fails by time, processor or memory.
package abuse
