//go:build unix

package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/weir-gateway/weir/internal/config"
)

// Opening a pipe waits for its other end, so that a folder with one would never load.
func TestAPipeInAFolderIsAMistakeOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "b.yaml")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip("no pipes here:", err)
	}
	if err := os.Symlink("b.yaml", filepath.Join(dir, "c.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("listen: :8080\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sources, err := config.Read(dir)
	if err != nil || len(sources) != 3 {
		t.Fatal(sources, err)
	}
	result := config.Load(sources, config.Vocabulary{})
	if len(result.Problems) < 2 {
		t.Fatal(result.Problems)
	}
	for i, name := range []string{"b.yaml", "c.yaml"} {
		got := result.Problems[i].String()
		if !strings.Contains(got, name+": the file cannot be read; it is a pipe, a socket or a device") {
			t.Error(got)
		}
	}
}

// A pipe that is named itself is meant, as in `weir check <(make-config)`.
func TestAPipeThatIsNamedIsRead(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "weir.yaml")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip("no pipes here:", err)
	}
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(pipe, []byte("listen: :8080\n"), 0o600) }()
	sources, err := config.Read(pipe)
	if err != nil || len(sources) != 1 || string(sources[0].Data) != "listen: :8080\n" {
		t.Error(sources, err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}
