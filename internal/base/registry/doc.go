// Package registry keeps the instances of services that have registered themselves, for as long as they report that
// they are alive. It keeps them in memory and writes what a restart would lose to a file.
//
//   - instance.go: what an instance says of itself, and how it is parsed.
//   - state.go: all instances. The caller passes the time in. It has no goroutine, lock or clock, and makes all
//     decisions.
//   - lease.go: which lease ends next.
//   - chain.go: what has changed since a revision, the oldest change first.
//   - registry.go: the state for concurrent callers, and the one goroutine that advances its time.
//   - watch.go: following the changes.
//   - store.go: the file, and the one goroutine that writes it.
//
// A heartbeat costs a map lookup and writes nothing. It renews a lease; a lease that is not renewed within its TTL
// ends. But silence has two possible causes, and only one of them lies with the instance:
//
//   - Time that the registry itself misses does not count. While the process was stopped, starved or not running, it
//     could not receive heartbeats. So afterwards every lease gets its full TTL again, once. Clock jumps have no
//     effect, because only the monotonic clock is read.
//   - If more than half of a service falls silent together, the cause is probably the network between the service and
//     the registry. These instances are kept as suspect, which is shown. Callers of the service find out which of them
//     are reachable.
//
// Neither lasts: an instance that was not heard for its DeregisterAfter (ten times its TTL by default) is removed,
// whatever the reason. Only time in which it could have been heard counts.
package registry
