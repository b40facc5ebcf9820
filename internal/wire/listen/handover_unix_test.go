//go:build unix

package listen_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/wire/listen"
)

// A script that starts a program without exec leaves a child behind. The child holds the pipe on which the process
// would report that it serves.
func TestAnAbandonedProcessIsNotAwaitedWhileAChildOfItLives(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	var parcel listen.Parcel
	next, err := parcel.Send("/bin/sh", []string{"-c", `sleep 300 >/dev/null 2>&1 & echo $! >"$1"; wait`, "sh", file})
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan error, 1)
	go func() { told <- next.Await() }()
	var child int
	await.That(t, "the script's child lives", func() bool {
		text, _ := os.ReadFile(file)
		line, whole := strings.CutSuffix(string(text), "\n")
		child, err = strconv.Atoi(line)
		return whole && err == nil
	})
	t.Cleanup(func() { _ = syscall.Kill(child, syscall.SIGKILL) })
	next.Abandon()
	if err := await.From(t, "the end of the wait", told); err == nil || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("got %v", err)
	}
}
