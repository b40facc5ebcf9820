// Package runtimeapi serves the AWS Lambda Runtime API (version 2018-06-01) to one instance of a function. Each
// instance has a loopback listener of its own. It fetches its invocations there one after the other, and posts their
// answers there.
//
// An invocation is over when the instance asks for the next one, not when it has answered. With its first request for
// an invocation the instance says that it is initialised.
//
// The package also serves the Extensions API, for agents that run within an instance.
package runtimeapi
