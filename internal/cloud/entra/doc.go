// Package entra is what calls to who trusts Microsoft Entra ID need: access tokens for a
// resource, from where Azure's own tools find them.
//
// It is written by the pages of Microsoft's documentation that its comments name, as
// package google is by Google's (decision 0068).
//
//   - callers.go: who is calling what, and the tokens that are kept for it.
//   - chain.go: where the calling identity is looked for.
//   - client.go: applications, by a secret or by another issuer's token.
//   - machine.go: managed identities.
package entra
