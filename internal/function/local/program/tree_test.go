package program

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestWhatIsNoSourceIsNotTold(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{
		".index.js.swp": "x", "index.js~": "x", "#index.js#": "x", "4913": "x", "data.db": "x", "node_modules/x/index.js": "x",
		"__pycache__/x.py": "x", ".git/x.js": "x", "lib/a.py": "x", "index.mjs": "x",
	}, 0o600)
	folders, files := tree(root, isSource)
	for i := range files {
		files[i] = strings.TrimPrefix(filepath.ToSlash(files[i]), filepath.ToSlash(folders[1])+"/")
	}
	if !slices.Equal(files, []string{"index.mjs", "lib/a.py"}) || len(folders) != 3 {
		t.Errorf("files are %v, in %v", files, folders)
	}
}

// A pipe or a device may keep its reader for good, and with it the gateway's end.
func TestWhatIsNoRegularFileIsNoSource(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{"index.mjs": "x", "shared/data": "{}"}, 0o600)
	for name, to := range map[string]string{
		"zero.json": os.DevNull, "locked.js": "nobody@nowhere", "folder.py": "shared", "linked.json": filepath.Join("shared", "data"),
	} {
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			t.Skip("no symbolic links here:", err)
		}
	}
	_, files := tree(root, isSource)
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	if !slices.Equal(files, []string{"index.mjs", "linked.json"}) {
		t.Errorf("files are %v", files)
	}
}
