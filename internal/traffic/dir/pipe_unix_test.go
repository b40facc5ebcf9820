//go:build unix

package dir_test

import (
	"path/filepath"
	"syscall"
	"testing"
)

// Opening a named pipe would wait for its other end.
func TestOnlyRegularFilesAreOpened(t *testing.T) {
	d, root := site(t, nil)
	if err := syscall.Mkfifo(filepath.Join(root, "pipe"), 0o600); err != nil {
		t.Skip("no pipes here:", err)
	}
	if res, _ := get(t, d, "GET", "/pipe"); res.StatusCode != 404 {
		t.Errorf("a pipe is answered with %d", res.StatusCode)
	}
}
