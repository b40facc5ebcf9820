package statefile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/statefile"
)

func TestAFolderIsHeldOnce(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "state")
	first, err := statefile.Hold(folder)
	if err != nil {
		t.Fatal(err)
	}
	_, err = statefile.Hold(folder)
	held, ok := errors.AsType[*statefile.HeldError](err)
	if !ok || held.Folder != folder || !strings.Contains(held.By, "process "+strconv.Itoa(os.Getpid())+" on ") {
		t.Fatalf("a second time: %v", err)
	}
	first.Release()
	again, err := statefile.Hold(folder)
	if err != nil {
		t.Fatalf("after it was let go of: %v", err)
	}
	again.Release()
}

func TestWhatIsNoFolderIsNotHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := statefile.Hold(path); err == nil {
		l.Release()
		t.Error("a file is held")
	}
	var none *statefile.Lock
	if none.Release(); none.File() != nil {
		t.Error("nothing has a file")
	}
}
