// Package entra holds what calls to services that trust Microsoft Entra ID need: access tokens for a resource, found
// where Azure's own tools find them.
//
// It is written from the pages of Microsoft's documentation that its comments name, as package google is from Google's
// (decision 0068).
//
//   - callers.go: who is calling what, and the tokens that are kept for it.
//   - chain.go: where the calling identity is looked for.
//   - client.go: applications, with a secret or another issuer's token.
//   - machine.go: managed identities.
package entra
