// Package google holds what calls to Google Cloud need: names of functions, their addresses, and ID tokens, found as
// Google's own tools find them (Application Default Credentials).
//
// It is written from the pages of Google's documentation that its comments name, because Google's own library depends
// on gRPC and does not support the gateway's bounds (decision 0068).
//
//   - target.go: names and addresses of functions.
//   - callers.go: who is calling what, and the tokens that are kept for it.
//   - find.go: where credentials are looked for.
//   - file.go: the kinds of credential files.
//   - account.go: keys of service accounts, and the refresh tokens of people.
//   - external.go: workload identity federation.
//   - machine.go: the metadata server.
//   - impersonate.go: the IAM Credentials API.
package google
