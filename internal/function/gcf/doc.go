// Package gcf calls functions and services of Google Cloud (Cloud Functions and Cloud Run) over HTTP with an ID token.
//
//   - config.go, reference.go: the config, in its long form and in a route's `to`.
//   - gcf.go: what all functions share, and how a backend is built.
//   - token.go: the token of a request, and how its refusal is recognised.
package gcf
