// Package cloud is what calls to the platforms of clouds have in common, whoever's
// platform it is; each child folder is one cloud's own credentials and signatures.
//
//   - kept.go: a credential that is fetched for everybody, ahead of its end.
//   - issuer.go: how issuers of tokens are asked.
//   - pool.go: how many calls may be under way at once.
//   - retries.go: how often may be tried again.
//   - round.go: where one request is sent, and whether it is again.
//   - term.go: the time that one call has, and what its end gives back.
//   - rest.go: when a place that has failed is tried again.
//   - shared.go: what several functions have in common.
package cloud
