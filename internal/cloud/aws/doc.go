// Package aws is what calls to Amazon Web Services need: names of functions, where
// their API is, credentials by the standard chain, and signatures.
//
// The chain and the signer are those of AWS's SDK; what is kept, for how long and for
// whom, is package cloud's.
//
//   - target.go: names and ARNs of functions, and the hosts of regions.
//   - credentials.go: who is calling.
//   - sign.go: Signature Version 4.
package aws
