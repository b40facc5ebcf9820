//go:build unix

package history

import (
	"io/fs"
	"os"
	"syscall"
)

// ours tells whether nobody but this user (and root) may write to a folder.
func ours(info fs.FileInfo) bool {
	const othersWrite = 0o022
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(owner.Uid) == os.Geteuid() && info.Mode().Perm()&othersWrite == 0
}
