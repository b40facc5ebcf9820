// Package health checks whether endpoints serve: over HTTP, by gRPC's health checking protocol, or by making a
// connection and closing it.
//
//   - judge.go: derives a state from the answers; a state machine without a clock of its own.
//   - ask.go: one check over HTTP or TCP; grpc.go: one over gRPC (grpc.health.v1).
//   - checkers.go: all checkers of a process. One goroutine knows which check is due, and as many checks run at once as
//     are allowed. Followers that check the same endpoint in the same way share its checker.
//
// This package does not decide which endpoints are called; package service does.
package health
