// Package azure calls functions of Azure Functions over HTTP, with a function key or an
// access token of Microsoft Entra ID.
//
//   - config.go, reference.go: the config, in its long form and in a route's `to`.
//   - azure.go: what all apps share, and how one is made.
//   - template.go: at which path a function is.
//   - proof.go: key and token, and what their refusal looks like.
package azure
