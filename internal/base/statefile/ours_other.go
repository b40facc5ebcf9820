//go:build !unix

package statefile

import "io/fs"

// plainly asks for nothing more: making links needs a right of its own here.
const plainly = 0

// ours is left to the folder of the user's profile, which is nobody else's.
func ours(fs.FileInfo) bool { return true }
