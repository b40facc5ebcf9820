// Package runtimeapi serves the AWS Lambda Runtime API (version 2018-06-01) to
// one instance of a function: a loopback listener of its own, from which the
// instance fetches its invocations one after the other and to which it posts
// their answers.
//
// An invocation is over when the instance asks for the next one, not when it
// has answered; its first question means that it is initialised.
//
// Beside it stands the Extensions API, for agents that run within an instance.
package runtimeapi
