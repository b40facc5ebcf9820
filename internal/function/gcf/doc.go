// Package gcf calls functions and services of Google Cloud: Cloud Functions and Cloud
// Run, over HTTP and with an ID token.
//
//   - config.go, reference.go: the config, in its long form and in a route's `to`.
//   - gcf.go: what all functions share, and how one is made.
//   - token.go: the token of a request, and what its refusal looks like.
package gcf
