//go:build unix

package statefile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/weir-gateway/weir/internal/base/statefile"
)

func TestOnlyPlainFilesOfThisUserAreRead(t *testing.T) {
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	if err := statefile.Replace(at("file"), []byte("four")); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(path string) error{
		"a link":             func(path string) error { return os.Symlink(at("file"), path) },
		"a pipe":             func(path string) error { return syscall.Mkfifo(path, 0o600) }, // of which nobody writes the other end
		"a folder":           func(path string) error { return os.Mkdir(path, 0o700) },
		"others could write": func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o620)) },
		"another user's": func(path string) error {
			if os.Geteuid() != 0 {
				return os.Symlink("/etc/passwd", path) // nobody else can give a file away
			}
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Chown(path, 12345, 12345))
		},
	} {
		if err := put(at(name)); err != nil {
			t.Fatal(err)
		}
		if text, err := statefile.Read(at(name), 10); err == nil {
			t.Errorf("%s is read: %q", name, text)
		}
	}
	if text, err := statefile.Read(at("file"), 4); err != nil || string(text) != "four" {
		t.Errorf("a file: %q, %v", text, err)
	}
	if _, err := statefile.Read(at("file"), 3); err == nil {
		t.Error("more is read than the limit")
	}
	if _, err := statefile.Read(at("none"), 3); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
}

func TestOnlyFoldersOfThisUserAreUsed(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "b")
	if err := statefile.Check(folder); err != nil {
		t.Errorf("one that is not there: %v", err)
	}
	if err := statefile.Make(folder); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	link := folder + ".link"
	if err := errors.Join(os.Symlink(folder, link), os.WriteFile(folder+".file", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{link, folder + ".file"} {
		if err := statefile.Make(path); err == nil {
			t.Errorf("%s is used", path)
		}
	}
	if err := os.Chmod(folder, 0o770); err != nil {
		t.Fatal(err)
	}
	if err := statefile.Check(folder); err == nil || !strings.Contains(err.Error(), "others than this user") {
		t.Errorf("one in which others may write: %v", err)
	}
}

// TestAFileIsReplacedWholeOrNotAtAll holds that what cannot be written leaves nothing, and
// is told in the same words each time.
func TestAFileIsReplacedWholeOrNotAtAll(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "file")
	for _, text := range []string{"one", "two"} {
		if err := statefile.Replace(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := statefile.Read(path, 10); err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for what, path := range map[string]string{"no folder": filepath.Join(folder, "none", "file"), "a folder in its place": folder} {
		one, other := statefile.Replace(path, nil), statefile.Replace(path, nil)
		if one == nil || other == nil || one.Error() != other.Error() {
			t.Errorf("%s: %v, and then %v", what, one, other)
		}
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(folder), ".new-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left is %q, %v", left, err)
	}
}

// TestALockIsHandedOn is about a process that takes over: here the same one, with a copy
// of the descriptor as another process would have.
func TestALockIsHandedOn(t *testing.T) {
	folder, other := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "other")
	first, err := statefile.Hold(folder)
	if err != nil {
		t.Fatal(err)
	}
	second, err := statefile.Adopt(folder, copyOf(t, first.File()))
	if err != nil {
		t.Fatal(err)
	}
	first.Release()
	if _, err := statefile.Hold(folder); err == nil {
		t.Error("it is free though it was handed on")
	}
	third, err := statefile.Adopt(other, copyOf(t, second.File()))
	if err != nil {
		t.Fatalf("another folder: %v", err)
	}
	if _, err := statefile.Hold(other); err == nil {
		t.Error("the other folder is not held")
	}
	third.Release()
	second.Release()
	last, err := statefile.Adopt(folder, nil)
	if err != nil {
		t.Fatalf("after the last one: %v", err)
	}
	last.Release()
}

func copyOf(t *testing.T, file *os.File) *os.File {
	t.Helper()
	fd, err := syscall.Dup(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "copy")
}
