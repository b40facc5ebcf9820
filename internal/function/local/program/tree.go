package program

import (
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/weir-gateway/weir/internal/base/edits"
)

// isSource reports whether a file's name is a name of code. Files that a function writes into its own folder, that an
// editor leaves there, and that an interpreter keeps there are not code.
func isSource(name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") || strings.HasPrefix(name, "#") {
		return false
	}
	switch filepath.Ext(name) {
	case ".go", ".mod", ".sum", ".s", ".c", ".h", ".js", ".mjs", ".cjs", ".json", ".node", ".py", ".so", ".wasm", ".sh", ".rb", ".php":
		return true
	}
	return false
}

// MayMatter reports whether a name is a name of code, or may be that of a folder.
func MayMatter(name string) bool {
	return isSource(name) || filepath.Ext(name) == "" && !skipped(name)
}

// skipped reports whether a folder holds nothing that is edited. When installed files in it (node_modules) change, the
// file that says what to install changes too.
func skipped(name string) bool {
	return strings.HasPrefix(name, ".") || name == "node_modules" || name == "__pycache__" || name == "testdata"
}

// most bounds how many files of one tree are looked at, in the order of their names.
const most = 5000

// tree returns the folders of a tree, as they are behind root, and its regular files of interest, sorted. root may be a
// link; it comes first among the folders, unresolved. What cannot be read is treated as missing.
func tree(root string, of func(name string) bool) (folders, files []string) {
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
		case of(d.Name()) && edits.IsRegular(path):
			files = append(files, path)
		}
		return nil //nolint:nilerr // what cannot be read is as if it were not there
	})
	return folders, files
}
