package http1

import (
	"sync"

	"github.com/weir-gateway/weir/internal/base/poison"
)

// backlog is what a client did not take at once. It lies in a room of about its own size, so that the
// piece that it was a part of, which many responses use in turn, is held by none that is waited for.
type backlog struct {
	b    []byte
	size int // of its room; an index of backlogs
}

// The rooms of backlogs have 4 to 128 KiB, in steps of 4.
const (
	backlogStep = 4 << 10
	mostBacklog = 128 << 10
)

var backlogs [mostBacklog / backlogStep]sync.Pool // of *backlog

// holdBack makes a backlog of p and more, which have at most mostBacklog, not nothing, and may be used again afterwards.
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
