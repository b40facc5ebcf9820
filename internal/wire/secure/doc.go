// Package secure is the server's side of TLS: how one listener identifies itself and authenticates its clients.
//
//   - policy.go: a Policy, made when a config is compiled.
//   - names.go: certificates by the name that a client asks for.
//   - tickets.go: the keys of session tickets, which outlive a Policy.
//   - authorities.go: which authorities are trusted, here and in package transport.
package secure
