// Package health finds out by asking whether endpoints serve: over HTTP, by gRPC's own
// protocol for it, or by a connection that is made and closed.
//
//   - judge.go: what the answers come to, a state machine that knows no clock of its own.
//   - ask.go: one question over HTTP or TCP; grpc.go: the one of gRPC (grpc.health.v1).
//   - checkers.go: all checkers of a process. One goroutine knows whose turn it is, and as many
//     ask at once as may. Whoever follows an endpoint by the same question shares its checker.
//
// Nothing here decides who is called; package service does.
package health
