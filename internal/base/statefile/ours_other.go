//go:build !unix

package statefile

import "io/fs"

// plainly adds no flags: making links requires a special privilege here.
const plainly = 0

// ours relies on the folder of the user's profile, which belongs only to that user.
func ours(fs.FileInfo) bool { return true }
