// Package pool decides which instance of a function serves which request: a
// stack of instances with room (the one used last first, so that the others
// can end), a bounded queue in the order of deadlines behind it, and as many new
// instances as the waiting requests need, up to a bound and no more than so many
// at once.
//
// How many there are when nobody waits follows from what was busy at once lately
// (demand.go). The version of the function may be replaced (version.go): both have
// one queue and one bound.
//
// An instance that becomes free serves the first waiter even if that waiter's
// own instance is still starting. Each instance is owned by one goroutine from
// its start to its end (member.go); all decisions are made under one lock.
package pool
