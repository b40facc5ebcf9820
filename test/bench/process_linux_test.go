package main

import (
	"path/filepath"
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
