// Package cloud holds what calls to cloud platforms have in common, whichever platform it is. Each child folder holds
// the credentials and signatures of one cloud.
//
//   - kept.go: a credential that is fetched once for all callers, before it expires.
//   - issuer.go: how issuers of tokens are asked.
//   - pool.go: how many calls may be under way at once.
//   - retries.go: how often calls may be retried.
//   - round.go: where one request is sent, and whether it is sent again.
//   - term.go: the time that one call has, and what its end releases.
//   - rest.go: when a place that has failed is tried again.
//   - shared.go: what several functions share.
package cloud
