// Package azure calls apps of Azure Functions over HTTP, with a function key or an access token of Microsoft Entra ID.
//
//   - config.go, reference.go: the config, in its long form and in a route's `to`.
//   - azure.go: what all apps share, and how a backend is built.
//   - template.go: the path of a function.
//   - proof.go: key and token, and how their refusal is recognised.
package azure
