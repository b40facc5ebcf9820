package edits

import (
	"encoding/binary"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// IsSource tells whether a file's name is that of code: what a function writes into
// its own folder, what an editor leaves there, and what an interpreter keeps
// there is not.
func IsSource(name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") || strings.HasPrefix(name, "#") {
		return false
	}
	switch filepath.Ext(name) {
	case ".go", ".mod", ".sum", ".s", ".c", ".h", ".js", ".mjs", ".cjs", ".json", ".node", ".py", ".so", ".wasm", ".sh", ".rb", ".php":
		return true
	}
	return false
}

// mayMatter tells whether a name is one of code, or may be that of a folder.
func mayMatter(name string) bool {
	return IsSource(name) || filepath.Ext(name) == "" && !skipped(name)
}

// skipped tells whether a folder holds nothing that is edited. What is installed
// there (node_modules) changes with the file that says what is to be.
func skipped(name string) bool {
	return strings.HasPrefix(name, ".") || name == "node_modules" || name == "__pycache__" || name == "testdata"
}

// most bounds how many files of one tree are looked at, in the order of their names.
const most = 5000

// Tree gives the folders of a tree, as they lie behind root, which may be a link and
// comes first as it is; and its regular files of interest, sorted. What cannot be read is as if
// it were not there.
func Tree(root string, of func(name string) bool) (folders, files []string) {
	folders = append(folders, root)
	if behind, err := filepath.EvalSymlinks(root); err == nil {
		root = behind
	}
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, unread error) error { // its function never fails
		switch {
		case unread != nil:
		case len(files) >= most:
			return filepath.SkipAll
		case d.IsDir() && path != root && skipped(d.Name()):
			return filepath.SkipDir
		case d.IsDir():
			folders = append(folders, path)
		case of(d.Name()) && IsRegular(path):
			files = append(files, path)
		}
		return nil //nolint:nilerr // what cannot be read is as if it were not there
	})
	return folders, files
}

// IsRegular tells whether there is a regular file, or a link to one. All else that
// has a name, as a pipe or a device, may keep its reader waiting for good.
func IsRegular(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// State gives a text that is another one when any of the files was written or
// replaced, or is gone. It reads none of them.
func State(files []string) string {
	h := fnv.New64a()
	for _, file := range slices.Sorted(slices.Values(files)) {
		_, _ = h.Write([]byte(file))
		info, err := os.Stat(file)
		if err != nil {
			_, _ = h.Write([]byte{0})
			continue
		}
		var stamp [24]byte
		binary.BigEndian.PutUint64(stamp[:], uint64(info.Size()))
		binary.BigEndian.PutUint64(stamp[8:], uint64(info.ModTime().UnixNano()))
		binary.BigEndian.PutUint64(stamp[16:], uint64(info.Mode()))
		_, _ = h.Write(stamp[:])
	}
	return strconv.FormatUint(h.Sum64(), 36)
}
