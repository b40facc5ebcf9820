package program

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is no regular file makes no function, and is never read: a pipe would keep
// its reader for good.
func TestOnlyRegularFilesMakeAProgram(t *testing.T) {
	for _, name := range []string{"index.mjs", "package.json", "lambda_function.py", "main.go"} {
		folder := t.TempDir()
		if err := os.Symlink(os.DevNull, filepath.Join(folder, name)); err != nil {
			t.Skip("no symbolic links here:", err)
		}
		if p, err := Find("f", folder, Guess); err == nil || !strings.Contains(err.Error(), "holds neither") {
			t.Errorf("%s: found %+v, %v", name, p, err)
		}
	}
}

// An editor locks main.go by a link beside it that leads nowhere.
func TestAnEditorsLockIsNoSource(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, map[string]string{"main.go": "package main\n\nfunc main() {}\n", "go.mod": "module f\n"}, 0o600)
	if err := os.Symlink("ada@desk.4711", filepath.Join(folder, ".#main.go")); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	if p, err := Find("f", folder, Guess); err != nil || !p.NeedsBuild() {
		t.Errorf("found %+v, %v", p, err)
	}
}

func TestAProgramThatIsADeviceByNowIsNoVersion(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, map[string]string{"server.mjs": ""}, 0o600)
	file := filepath.Join(folder, "server.mjs")
	p, err := Find("f", file, HTTP)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(os.DevNull, file); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	if state, err := p.StateOf(t.Context(), file, Command{}); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("the state is %+v, %v", state, err)
	}
}

// A function that has left the config is not waited for until all its data is read.
func TestReadingAProgramEndsWithItsContext(t *testing.T) {
	folder := t.TempDir()
	write(t, folder, map[string]string{"index.mjs": "", "data.json": "{}"}, 0o600)
	p, err := Find("f", folder, Guess)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	end()
	if state, err := p.StateOf(ctx, folder, Command{}); !errors.Is(err, context.Canceled) {
		t.Errorf("the state is %+v, %v", state, err)
	}
}
