// Package telemetry is what operators see of the gateway in numbers: the meters that other packages count with, and
// their exposition for Prometheus.
//
// Meters are made when a config is compiled and only added to afterwards: that takes an atomic operation or two, no
// lock, no look-up and no allocation. They are read at each scrape. Every label has a bounded set of values: names of
// routes, backends, functions, sockets and issuers come from the config and disappear with it, methods and statuses are
// folded to known ones, and nothing that a client sends becomes a label.
//
// A nil meter counts nothing, so code that runs without metrics (a check, a test) needs no stand-in.
//
//   - metrics.go: all meters of a process, and the handler.
//   - route.go: requests, by route; fold.go: methods and statuses with few values.
//   - histogram.go: durations in buckets.
//   - backend.go: attempts at backends, and their endpoints.
//   - discovery.go: how soon changes of endpoints take effect; checks.go: whether endpoints serve.
//   - function.go: instances of functions.
//   - socket.go: connections.
//   - keyset.go: keys of issuers; heard.go: the state of what comes from outside.
//   - gateway.go: the config that serves, and other single values.
//   - watch.go: functions that are called at each scrape.
//   - counter.go: counters of filters.
package telemetry
