//go:build !unix

package history

import "io/fs"

// ours is left to the folder of the user's profile, which is nobody else's.
func ours(fs.FileInfo) bool { return true }
