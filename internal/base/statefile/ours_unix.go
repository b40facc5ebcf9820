//go:build unix

package statefile

import (
	"io/fs"
	"os"
	"syscall"
)

// plainly makes open not follow links, and not wait if there is something other than a file.
const plainly = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// ours reports whether only this user (and root) may write to a file or folder.
func ours(info fs.FileInfo) bool {
	const othersWrite = 0o022
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(owner.Uid) == os.Geteuid() && info.Mode().Perm()&othersWrite == 0
}
