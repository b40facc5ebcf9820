// Package web passes requests on to functions that speak HTTP and run on a platform: to one of a function's regions,
// with a proof of who is calling, and again where that is safe.
//
//   - function.go: a function, its sites and bounds.
//   - call.go: one request, with its attempts.
//   - shared.go, connection.go, settings.go: what functions share: connections, and bounds.
//   - limits.go: the limits of one function.
//   - verdict.go: what an attempt means.
package web
