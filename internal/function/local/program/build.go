package program

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/process"
)

// BuildError is a build that the go command rejected.
type BuildError struct {
	Folder string
	Output string // what the compiler said, shortened
	Err    error
}

func (e *BuildError) Error() string {
	return fmt.Sprintf("go build in %s: %v\n%s", e.Folder, e.Err, e.Output)
}

func (e *BuildError) Unwrap() error { return e.Err }

// Cache returns the folder where built programs are kept: weir/functions below the user's cache folder.
func Cache() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil { // a shared folder is no replacement: others could put their program into it
		return "", fmt.Errorf("cache of built functions: %w; set one of them, or build the program beforehand and name the file", err)
	}
	dir := filepath.Join(base, "weir", "functions")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("cache of built functions: %w", err)
	}
	return dir, nil
}

// Build builds the program with the go command, as a process of host, and returns the path of a file that never
// changes. The file is named by its content, so that an older version keeps starting its own file. If the program is
// already a file, its path is returned unchanged.
//
// The go command itself decides whether anything has changed. That takes about a tenth of a second if nothing has.
func (p Program) Build(ctx context.Context, host *process.Host, cache string, log *slog.Logger) (string, error) {
	if p.File != "" {
		return p.File, nil
	}
	folder := filepath.Join(cache, digest(strings.NewReader(p.source())))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("cache of built functions: %w", err)
	}
	log.Info("building the function", "folder", p.Folder)
	begin := time.Now()
	file, err := p.buildIn(ctx, host, folder)
	if err != nil {
		return "", err
	}
	log.Info("the function is built", "folder", p.Folder, "took", time.Since(begin).Round(time.Millisecond))
	prune(folder, filepath.Dir(file))
	return file, nil
}

// buildIn builds in a folder of its own, because other gateways may be building the same program. It begins with the
// latest version, which the go command leaves unchanged if nothing has changed.
func (p Program) buildIn(ctx context.Context, host *process.Host, folder string) (string, error) {
	own, err := os.MkdirTemp(folder, "new-*")
	if err != nil {
		return "", fmt.Errorf("cache of built functions: %w", err)
	}
	defer func() { _ = os.RemoveAll(own) }() // prune removes what is left
	latest, made := filepath.Join(folder, "latest"+p.suffix()), filepath.Join(own, "program"+p.suffix())
	if in, err := os.Open(latest); err == nil {
		_ = copyTo(made, in) // without it the program is only linked again
		_ = in.Close()       // it was only read
	}
	if err := p.compile(ctx, host, made); err != nil {
		return "", err
	}
	file, err := keep(folder, made, safeName(p.Name)+p.suffix())
	if err != nil {
		return "", fmt.Errorf("cache of built functions: %w", err)
	}
	_ = os.Rename(made, latest) // only to speed up the next build
	return file, nil
}

func (p Program) compile(ctx context.Context, host *process.Host, to string) error {
	const most = 4 << 10
	said := firstOf{most: most}
	arguments := append([]string{"build", "-buildvcs=false", "-o", to}, p.flags()...)
	err := p.goCommand(ctx, host, p.target(), func(l process.Line) { said.add(l.Text) }, append(arguments, ".")...)
	var exit *exitError
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%s is a Go program, and there is no go command here to build it; build it beforehand and name the file", p.Folder)
	case errors.As(err, &exit):
		return &BuildError{Folder: p.Folder, Output: said.text(), Err: err}
	case err != nil:
		return fmt.Errorf("go build: %w", err)
	}
	return nil
}

// keep copies the built program to FOLDER/DIGEST/NAME, unless it is there.
func keep(folder, made, name string) (string, error) {
	in, err := os.Open(made)
	if err != nil {
		return "", err //nolint:wrapcheck // Build says what it was for
	}
	defer func() { _ = in.Close() }() // it was only read
	home := filepath.Join(folder, digest(in))
	file := filepath.Join(home, name)
	if _, err := os.Stat(file); err == nil {
		now := time.Now()
		return file, os.Chtimes(home, now, now) //nolint:wrapcheck // Build says what it was for
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return "", err //nolint:wrapcheck // Build says what it was for
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return "", err //nolint:wrapcheck // Build says what it was for
	}
	return file, copyTo(file, in)
}

// copyTo writes a temporary file next to file and renames it, so that a partial file is never started.
func copyTo(file string, in io.Reader) error {
	out, err := os.CreateTemp(filepath.Dir(file), "new-*")
	if err != nil {
		return err //nolint:wrapcheck // Build says what it was for
	}
	_, err = io.Copy(out, in)
	err = errors.Join(err, out.Chmod(0o700), out.Close())
	if err == nil {
		err = os.Rename(out.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(out.Name()))
	}
	return nil
}

// oldAge is the age at which a version that is no longer built is removed.
const oldAge = 7 * 24 * time.Hour

// prune removes old versions. If it cannot remove one, the next build tries again.
func prune(folder, current string) {
	versions, _ := filepath.Glob(filepath.Join(escapeGlob(folder), "*")) // the pattern is well formed
	for _, version := range versions {
		info, err := os.Stat(version)
		if err == nil && info.IsDir() && version != current && time.Since(info.ModTime()) > oldAge {
			_ = os.RemoveAll(version)
		}
	}
}

func digest(r io.Reader) string {
	h := sha256.New()
	_, _ = io.Copy(h, r) // a file that cannot be read fails again when it is copied
	const enough = 16
	return hex.EncodeToString(h.Sum(nil)[:enough])
}

func exeSuffix() string {
	if onWindows {
		return ".exe"
	}
	return ""
}

// safeName turns a function's name into a file name, for process lists.
func safeName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		default:
			return '_'
		}
	}, name)
}
