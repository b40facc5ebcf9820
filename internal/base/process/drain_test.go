package process

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
)

// TestWhatWasWrittenHasBeenReadAfterTheDrain writes lines and asks at once, as a
// function does that puts something out and answers.
func TestWhatWasWrittenHasBeenReadAfterTheDrain(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var mu sync.Mutex
	last := ""
	pipe := &tap{file: r}
	var reading sync.WaitGroup
	reading.Go(func() {
		readLines(pipe, "1", Stdout, func(l Line) {
			mu.Lock()
			defer mu.Unlock()
			last = string(l.Text)
		})
	})
	p := &Process{taps: [2]*tap{pipe, {ended: true}}}
	for i := range 2000 {
		want := fmt.Sprint("line ", i)
		if _, err := fmt.Fprintln(w, want); err != nil {
			t.Fatal(err)
		}
		p.drain(await.Patience) // a busy machine may need longer than is waited for a function
		mu.Lock()
		got := last
		mu.Unlock()
		if got != want {
			t.Fatalf("after %q was written the last line is %q", want, got)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	reading.Wait()
	p.Drain() // returns at once
}
