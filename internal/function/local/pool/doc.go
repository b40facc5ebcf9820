// Package pool decides which instance of a function serves which request. It has a stack of instances with room: the
// most recently used one is on top, so that the others can end. Behind it is a bounded queue, ordered by deadline. The
// pool starts as many new instances as the waiting requests need, up to a bound, and limits how many may be starting at
// once.
//
// When no request waits, the number of instances follows from how many were busy at once recently (demand.go). The
// version of the function may be replaced (version.go): both versions share one queue and one bound.
//
// An instance that becomes free serves the first waiter even if another instance is already starting for that waiter.
// One goroutine owns each instance from its start to its end (member.go). All decisions are made under one lock.
package pool
