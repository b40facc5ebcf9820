package program

import (
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/weir-gateway/weir/internal/base/edits"
)

// isSource tells whether a file's name is that of code: what a function writes into
// its own folder, what an editor leaves there, and what an interpreter keeps
// there is not.
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

// MayMatter tells whether a name is one of code, or may be that of a folder.
func MayMatter(name string) bool {
	return isSource(name) || filepath.Ext(name) == "" && !skipped(name)
}

// skipped tells whether a folder holds nothing that is edited. What is installed
// there (node_modules) changes with the file that says what is to be.
func skipped(name string) bool {
	return strings.HasPrefix(name, ".") || name == "node_modules" || name == "__pycache__" || name == "testdata"
}

// most bounds how many files of one tree are looked at, in the order of their names.
const most = 5000

// tree gives the folders of a tree, as they lie behind root, which may be a link and
// comes first as it is; and its regular files of interest, sorted. What cannot be read is as if
// it were not there.
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
