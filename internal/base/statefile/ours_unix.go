//go:build unix

package statefile

import (
	"io/fs"
	"os"
	"syscall"
)

// plainly opens no link, and does not wait where something else than a file is there.
const plainly = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// ours tells whether nobody but this user (and root) may write to a file or folder.
func ours(info fs.FileInfo) bool {
	const othersWrite = 0o022
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(owner.Uid) == os.Geteuid() && info.Mode().Perm()&othersWrite == 0
}
