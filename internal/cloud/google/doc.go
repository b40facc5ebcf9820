// Package google is what calls to Google Cloud need: names of functions, where they are,
// and ID tokens, found as Google's own tools find them (Application Default Credentials).
//
// It is written by the pages of Google's documentation that its comments name, for
// Google's own library brings gRPC with it and knows no bounds of ours (decision 0068).
//
//   - target.go: names and addresses of functions.
//   - callers.go: who is calling whom, and the tokens that are kept for it.
//   - find.go: where credentials are looked for.
//   - file.go: the kinds of files that hold them.
//   - account.go: keys of service accounts, and the refresh tokens of people.
//   - external.go: workload identity federation.
//   - machine.go: the metadata server.
//   - impersonate.go: the IAM Credentials API.
package google
