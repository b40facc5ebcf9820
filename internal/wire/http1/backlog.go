package http1

import (
	"sync"

	"github.com/weir-gateway/weir/internal/base/poison"
)

// backlog is what a client did not take at once. It is held in a buffer of about its own size, so that a response that
// waits does not hold the piece that the bytes were a part of, which many responses use in turn.
type backlog struct {
	b    []byte
	size int // of its buffer; an index of backlogs
}

// The buffers of backlogs have 4 to 128 KiB, in steps of 4.
const (
	backlogStep = 4 << 10
	mostBacklog = 128 << 10
)

var backlogs [mostBacklog / backlogStep]sync.Pool // of *backlog

// holdBack copies p and more into a backlog. Together they have at least one byte, and mostBacklog at most. They may be
// reused afterwards.
func holdBack(p, more []byte) *backlog {
	size := (len(p) + len(more) - 1) / backlogStep
	l, _ := backlogs[size].Get().(*backlog)
	if l == nil {
		l = &backlog{b: make([]byte, 0, (size+1)*backlogStep), size: size}
	}
	l.b = append(append(l.b[:0], p...), more...)
	return l
}

// give ends the use of a backlog.
func (l *backlog) give() {
	poison.Bytes(l.b[:cap(l.b)])
	backlogs[l.size].Put(l)
}
