// Package room bounds how many bytes of what clients send, and are sent, are in memory at once:
// all of it together, and that of each owner beside the others (docs/decisions/0077).
//
//   - room.go: the bound, and the parts of those who wait for some of it.
//   - body.go: a body that is read as there is room for it.
package room
