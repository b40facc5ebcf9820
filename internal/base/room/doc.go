// Package room bounds how many bytes of the payloads that clients send and receive are in memory at once: of all
// together, and of each owner relative to the others (docs/decisions/0077).
//
//   - room.go: the bound, and the parts, which may wait for room.
//   - body.go: reading a body as there is room for it.
package room
