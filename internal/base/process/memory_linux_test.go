package process

import (
	"os"
	"testing"
)

func TestPeakIsThatOfTheProcess(t *testing.T) {
	if got := peak(os.Getpid()); got < 1<<20 || got > 1<<34 {
		t.Errorf("this process has used %d bytes at the most", got)
	}
	if got := peak(-1); got != 0 {
		t.Errorf("a process that is none has used %d bytes", got)
	}
}
