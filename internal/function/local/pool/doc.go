// Package pool decides which instance of a function serves which request: a
// stack of instances with room (the one used last first, so that the others
// can end), a bounded queue with a deadline behind it, and as many new
// instances as the waiting requests need, up to a bound.
//
// An instance that becomes free serves the first waiter even if that waiter's
// own instance is still starting. Each instance is owned by one goroutine from
// its start to its end (member.go); all decisions are made under one lock.
package pool
