package local

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/config/doc"
)

// logTail is the end of an instance's output during one invocation, between the lines that AWS Lambda puts around it.
// It is safe for concurrent use. A nil logTail accepts everything and keeps nothing.
type logTail struct {
	version string
	memory  doc.Size

	mu    sync.Mutex
	drain func() // waits until the instance's output so far has been read; nil if that is not needed
	id    string // of the invocation
	since time.Time
	text  []byte
}

// mostTail is how much of it a caller gets: AWS's 4 KB.
const mostTail = 4 << 10

// begin begins the log of an invocation that is now given to i.
func (t *logTail) begin(i *instance, id string) {
	i.tail.Store(t)
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if d, ok := i.body.(interface{ Drain() }); ok {
		t.drain = d.Drain
	}
	t.id, t.since, t.text = id, time.Now(), nil
	t.line(fmt.Appendf(nil, "START RequestId: %s Version: %s", id, t.version))
}

// add adds a line of the instance's output.
func (t *logTail) add(line []byte) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.line(line)
}

func (t *logTail) line(line []byte) {
	t.text = append(append(t.text, line...), '\n')
	if extra := len(t.text) - mostTail; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
	}
}

// end returns the tail of an invocation that has just ended, nil if it has not begun.
func (t *logTail) end() []byte {
	t.mu.Lock()
	drain, took := t.drain, float64(time.Since(t.since).Microseconds())/1000
	t.mu.Unlock()
	if drain != nil {
		drain()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.id == "" {
		return nil
	}
	t.line(fmt.Appendf(nil, "END RequestId: %s", t.id))
	t.line(fmt.Appendf(nil, "REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %.0f ms\tMemory Size: %d MB",
		t.id, took, math.Ceil(took), t.memory/doc.MiB))
	text := t.text
	t.id, t.text = "", nil
	return text
}
