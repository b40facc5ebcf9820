// Package docs_test compares the documentation with the program: every config on every page loads, every link leads
// somewhere, every key is explained, and the console blocks show what the real binary answers. The info string of a
// fence says of which kind its block is:
//
//	yaml            a complete config without any problem
//	yaml broken     one with problems, which the text block behind it shows
//	yaml fragment   a piece of one; only where there is no other way
//	console         commands behind "$ " with their outputs (README.md and docs)
//
// `go test ./test/docs -update` rewrites the outputs.
package docs_test

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/test/weirtest"
)

var update = flag.Bool("update", false, "write the outputs in the documentation anew")

// root is the repository.
var root = filepath.Join("..", "..")

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	weirtest.Cleanup()
	os.Exit(code)
}

// pages returns all Markdown files of the repository except test data.
func pages(t *testing.T) []*page {
	t.Helper()
	var list []*page
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != root && (strings.HasPrefix(entry.Name(), ".") || slices.Contains([]string{"testdata", "node_modules"}, entry.Name())):
			return fs.SkipDir
		case filepath.Ext(path) == ".md":
			list = append(list, readPage(t, path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatal("there is no Markdown file in the repository")
	}
	return list
}

func readPage(t *testing.T, path string) *page {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	name, err := filepath.Rel(root, path)
	if err != nil {
		t.Fatal(err)
	}
	return parsePage(filepath.ToSlash(name), string(text))
}

// save writes a page back if -update is given and one of its blocks was replaced.
func (p *page) save(t *testing.T) {
	t.Helper()
	if !*update || !p.changed {
		return
	}
	if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(p.name)), []byte(p.text()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// find returns the page with that name.
func find(list []*page, name string) (*page, bool) {
	i := slices.IndexFunc(list, func(p *page) bool { return p.name == name })
	if i < 0 {
		return nil, false
	}
	return list[i], true
}
