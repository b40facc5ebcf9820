// Package registry keeps the instances of services that have registered themselves, for
// as long as they say that they live: in memory, with a file beneath for what a restart
// would lose.
//
//   - instance.go: what an instance says of itself, and how it is read.
//   - state.go: all instances, by a time that is handed in. It has no goroutine, no lock and
//     no clock, and decides everything.
//   - lease.go: whose time is up next.
//   - chain.go: what has changed since, the oldest first.
//   - registry.go: the state for many callers, and the one goroutine that moves its time.
//   - watch.go: who follows the changes.
//   - store.go: the file, and the one goroutine that writes it.
//
// A heartbeat costs a look into a map and writes nothing. It renews a lease, and a lease that
// is not renewed for its time ends. But silence has two reasons, and only one of them is the
// instance's:
//
//   - The registry's own time does not count. While the process was stopped, starved or
//     not there at all nobody could be heard, so that afterwards every lease has a full time
//     again, once. Clocks that jump concern nobody, for none but the monotonic one is read.
//   - More than half of a service falling silent together is rather the network between it
//     and here. They are kept as suspect, which is shown, and whoever calls them finds out
//     which of them are there.
//
// Neither lasts: an instance that nobody has heard of for its DeregisterAfter (ten times its
// TTL unless said otherwise) is removed, whatever the reason, in time during which it could
// have been heard.
package registry
