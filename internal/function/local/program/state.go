package program

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/edits"
)

// State is the content of a program at one moment.
type State struct {
	// ID is a digest of its content: states with the same ID are the same version.
	ID string
	// Kept is a copy of the program as it was, "" if there is none.
	Kept string

	files []string
	stamp string
}

// Changed reports whether its files have been written or replaced since.
func (s *State) Changed() bool { return edits.State(s.files) != s.stamp }

// idLength is how many digits of a digest name a version: enough to distinguish those of one function, and few enough
// to read.
const idLength = 12

// StateOf reads what command starts. root is what the config names: if it is a folder, all code in it is part of the
// program. A program that is a file is copied to the cache, so that it can still be started after another file has
// replaced it. If there is no cache, the error says so, and the state is complete except for the copy. StateOf ends
// with ctx, however much there is to read.
func (p Program) StateOf(ctx context.Context, root string, command Command) (State, error) {
	if p.NeedsBuild() { // the cache names it by its content
		return State{ID: shorten(filepath.Base(filepath.Dir(command.Path)))}, nil
	}
	_, files := p.Sources(root)
	s := State{files: files, stamp: edits.State(files)}
	id, err := digestOf(ctx, files)
	if err != nil {
		return State{}, fmt.Errorf("run: %w", err)
	}
	s.ID = id
	kept, err := p.keepFile(s.ID)
	if !s.Changed() { // otherwise it changed while it was read and copied
		s.Kept = kept
	}
	return s, err
}

// digestOf returns, for one file, what sha256sum prints for its content, and for several files a digest of their names
// and contents.
func digestOf(ctx context.Context, files []string) (string, error) {
	h := sha256.New()
	for _, one := range files {
		if len(files) > 1 {
			rest, err := filepath.Rel(filepath.Dir(files[0]), one)
			if err != nil {
				rest = one
			}
			_, _ = fmt.Fprintf(h, "\n%s\n", filepath.ToSlash(rest))
		}
		if err := readInto(ctx, h, one); err != nil {
			return "", err
		}
	}
	return shorten(hex.EncodeToString(h.Sum(nil))), nil
}

// Sources returns the paths that lead to the program's code, and its files.
func (p Program) Sources(root string) (paths, files []string) {
	if p.Runtime != Native {
		root = p.Folder // a module imports others next to it
	}
	info, err := os.Stat(root)
	if err != nil || !info.IsDir() {
		return []string{root}, []string{root}
	}
	of := isSource
	if p.NeedsBuild() {
		of = isGo
	}
	paths, files = tree(root, of)
	if filepath.IsAbs(p.File) && !slices.Contains(files, p.File) {
		paths, files = append(paths, p.File), append(files, p.File)
	}
	return paths, files
}

// isGo reports whether the go command builds files of that name.
func isGo(name string) bool {
	if !isSource(name) || strings.HasSuffix(name, "_test.go") {
		return false
	}
	return slices.Contains([]string{".go", ".mod", ".sum", ".s", ".c", ".h"}, filepath.Ext(name))
}

func readInto(ctx context.Context, w io.Writer, file string) error {
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", file)
	}
	in, err := os.Open(file)
	if err != nil {
		return err //nolint:wrapcheck // the caller says what it was for
	}
	defer func() { _ = in.Close() }() // it was only read
	_, err = io.Copy(w, &bounded{ctx, in})
	return err //nolint:wrapcheck // the caller says what it was for
}

// bounded reads until its context ends.
type bounded struct {
	ctx context.Context //nolint:containedctx // that of one call
	in  io.Reader
}

func (b *bounded) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err //nolint:wrapcheck // the caller says what it was for
	}
	return b.in.Read(p) //nolint:wrapcheck // as it is
}

// keepFile copies the program to the cache, named by the version's id.
func (p Program) keepFile(id string) (string, error) {
	if p.Runtime != Native || !filepath.IsAbs(p.File) {
		return "", nil
	}
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(cache, digest(strings.NewReader(p.File)))
	file := filepath.Join(folder, id, filepath.Base(p.File))
	if _, err := os.Stat(file); err == nil {
		Touch(file)
		return file, nil
	}
	in, err := os.Open(p.File)
	if err != nil {
		return "", fmt.Errorf("cache of functions: %w", err)
	}
	defer func() { _ = in.Close() }() // it was only read
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", fmt.Errorf("cache of functions: %w", err)
	}
	if err := copyTo(file, in); err != nil {
		return "", fmt.Errorf("cache of functions: %w", err)
	}
	prune(folder, filepath.Dir(file))
	return file, nil
}

// Touch makes a version in the cache count as new, so that it is not removed while it is in use and others are added.
func Touch(file string) {
	now := time.Now()
	_ = os.Chtimes(filepath.Dir(file), now, now) // if it is removed, it is built again
}

func shorten(digest string) string { return digest[:min(idLength, len(digest))] }
