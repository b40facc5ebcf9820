// Package aws holds what calls to Amazon Web Services need: names of functions, the addresses of their APIs,
// credentials from the standard chain, and signatures.
//
// The chain and the signer are those of AWS's SDK. What is kept, for how long and for whom, is decided by package
// cloud.
//
//   - target.go: names and ARNs of functions, and the hosts of regions.
//   - credentials.go: who is calling.
//   - sign.go: Signature Version 4.
package aws
