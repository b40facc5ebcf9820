package accesslog

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// mostBytes bounds the lines that wait; as many again may be being written.
	mostBytes = 1 << 20
	// gatherTime is how long lines wait for further lines to be written with.
	gatherTime = 20 * time.Millisecond
	// lastWrite is the time for writing the remaining lines after the context of close has ended.
	lastWrite = time.Second
)

// output is what lines are written to.
type output interface {
	io.Writer
	// refresh makes sure that the output is still the one that its name leads to; anew: reopen it even if it seems to
	// be.
	refresh(anew bool) error
	close() error
}

// plain is an output that the caller has opened, and closes.
type plain struct{ io.Writer }

func (plain) refresh(bool) error { return nil }
func (plain) close() error       { return nil }

// sink collects lines for the one goroutine that writes them.
type sink struct {
	out    output
	counts *Counts
	log    *slog.Logger
	reopen atomic.Bool

	mu      sync.Mutex
	waiting []byte // whole lines
	closed  bool

	wake chan struct{} // there are lines; has capacity one
	rush chan struct{} // closed by close: do not wait for more lines
	done chan struct{} // the goroutine has ended
}

func newSink(out output, counts *Counts, log *slog.Logger) *sink {
	s := &sink{
		out: out, counts: counts, log: log,
		wake: make(chan struct{}, 1), rush: make(chan struct{}), done: make(chan struct{}),
	}
	go s.run()
	return s
}

// put appends a copy of line, or drops line if too many wait.
func (s *sink) put(line []byte) {
	s.mu.Lock()
	if s.closed || len(s.waiting)+len(line) > mostBytes {
		s.mu.Unlock()
		s.counts.Dropped.Add(1)
		return
	}
	first := len(s.waiting) == 0
	s.waiting = append(s.waiting, line...)
	s.mu.Unlock()
	if first {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// run writes until close was called and no lines wait.
func (s *sink) run() {
	defer close(s.done)
	var batch []byte
	var trouble trouble
	for {
		over := s.await()
		s.mu.Lock()
		batch, s.waiting = s.waiting, batch[:0]
		s.mu.Unlock()
		if len(batch) > 0 {
			trouble.note(s, s.write(batch))
		}
		if over && len(batch) == 0 {
			trouble.note(s, s.out.close())
			return
		}
	}
}

// await returns when lines have gathered. It returns true once close was called.
func (s *sink) await() (over bool) {
	select {
	case <-s.wake:
	case <-s.rush:
		return true
	}
	timer := time.NewTimer(gatherTime)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false
	case <-s.rush:
		return true
	}
}

func (s *sink) write(batch []byte) error {
	refreshErr := s.out.refresh(s.reopen.Swap(false))
	n, err := s.out.Write(batch)
	whole := uint64(bytes.Count(batch[:n], []byte{'\n'}))
	s.counts.Written.Add(whole)
	s.counts.Dropped.Add(uint64(bytes.Count(batch, []byte{'\n'})) - whole)
	if err == nil {
		err = refreshErr
	}
	return err
}

func (s *sink) close(ctx context.Context) {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if first {
		close(s.rush)
	}
	select {
	case <-s.done:
		return
	case <-ctx.Done():
	}
	last := time.NewTimer(lastWrite)
	defer last.Stop()
	select {
	case <-s.done:
	case <-last.C: // the reader of the output has stopped; nobody can be told
	}
}

// trouble logs that an output fails, once until it works again.
type trouble bool

func (t *trouble) note(s *sink, err error) {
	if err != nil && !bool(*t) {
		s.log.Error("the access log cannot be written; its lines are lost until it can", "error", err)
	}
	*t = err != nil
}
