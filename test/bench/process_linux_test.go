package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TestTimeIsThatOfTheProgramAndOfTheSystem runs a shell that counts, which spends its time in user space, and one
// that opens files, which also spends time in the kernel.
func TestTimeIsThatOfTheProgramAndOfTheSystem(t *testing.T) {
	share := map[string]float64{}
	for what, script := range map[string]string{
		"counts":      "while :; do :; done",
		"opens files": "while :; do : < /proc/self/status; : < /proc/self/maps; done",
	} {
		p, err := start(filepath.Join(t.TempDir(), "log"), nil, "sh", "-c", script)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.stop)
		before := p.ticks()
		for deadline := time.Now().Add(patience); p.ticks().user+p.ticks().kernel < before.user+before.kernel+20; {
			if time.Now().After(deadline) {
				t.Fatalf("a shell that %s has taken %+v", what, p.ticks())
			}
		}
		share[what] = p.ticks().since(before)
	}
	if share["counts"] <= share["opens files"] {
		t.Errorf("shares of user space: %v", share)
	}
	if got := (modes{user: 4, kernel: 9}).since(modes{user: 1, kernel: 8}); got != 0.75 {
		t.Errorf("3 ticks of 4 are %v", got)
	}
	if got := (modes{}).since(modes{}); got != 0 {
		t.Errorf("none of none is %v", got)
	}
}

// A program that any process has open for writing cannot be started, and a process that is just being started has all
// files open that others write at that moment.
func TestCopiesAreStartedWhileOthersAreMade(t *testing.T) {
	program, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	var peers sync.WaitGroup
	for peer := range 8 {
		peers.Go(func() {
			for round := range 20 {
				own := filepath.Join(folder, fmt.Sprint(peer, "-", round))
				if err := os.Mkdir(own, 0o700); err != nil {
					t.Error(err)
					return
				}
				copied, err := copyTo(own, program)
				if err == nil {
					err = exec.CommandContext(t.Context(), copied).Run()
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	peers.Wait()
}
