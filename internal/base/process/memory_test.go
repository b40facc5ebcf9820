package process

import (
	"math"
	"testing"
	"time"
)

func TestMemoryIsLookedAtAsOftenAsItCouldBeUsedUp(t *testing.T) {
	for left, want := range map[int64]time.Duration{
		0: shortestLook, -5: shortestLook, 1 << 20: shortestLook, 64 << 20: 250 * time.Millisecond,
		256 << 20: time.Second, 1 << 30: longestLook, 1 << 40: longestLook, math.MaxInt64: longestLook,
	} {
		if got := lookAgain(left); got != want {
			t.Errorf("with %d bytes left: %v, want %v", left, got, want)
		}
	}
}

func TestMemoryIsSaidInMebibytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 MiB", 1: "1 MiB", 1 << 20: "1 MiB", 1<<20 + 1: "2 MiB", 128 << 20: "128 MiB"} {
		if got := mebibytes(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}
