// Package telemetry is what operators see of the gateway in numbers: the meters
// that the other rooms count with, and their exposition for Prometheus.
//
// Meters are made when a config is compiled and only added to afterwards: an
// atomic or two, no lock, no look-up, no allocation. They are read when somebody
// scrapes. Every label has a bounded set of values: names of routes, backends,
// functions, sockets and issuers come from the config and go with it, methods and statuses
// are folded to known ones, and nothing that a client sends becomes a label.
//
// A nil meter counts nothing, so that what is built without metrics (a check, a
// test) needs no stand-in.
//
//   - metrics.go: all meters of a process, and the handler.
//   - route.go: requests, by route; fold.go: methods and statuses with few values.
//   - histogram.go: durations in buckets.
//   - backend.go: attempts at backends, and their endpoints.
//   - discovery.go: how soon changes of endpoints count; checks.go: whether these serve.
//   - function.go: instances of functions.
//   - socket.go: connections.
//   - keyset.go: keys of issuers; heard.go: how things stand with what comes from outside.
//   - gateway.go: the config that serves, and what else has one value.
//   - watch.go: what is asked when somebody scrapes.
//   - counter.go: what a filter counts of its own.
package telemetry
