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

// The rooms of backlogs have 4 to 64 KiB, in steps of 4.
const backlogStep = 4 << 10

var backlogs [pieceBytes / backlogStep]sync.Pool // of *backlog

// holdBack makes a backlog of p, which has at most pieceBytes, not nothing, and may be used again afterwards.
func holdBack(p []byte) *backlog {
	size := (len(p) - 1) / backlogStep
	l, _ := backlogs[size].Get().(*backlog)
	if l == nil {
		l = &backlog{b: make([]byte, 0, (size+1)*backlogStep), size: size}
	}
	l.b = append(l.b[:0], p...)
	return l
}

// give ends the use of a backlog.
func (l *backlog) give() {
	poison.Bytes(l.b[:cap(l.b)])
	backlogs[l.size].Put(l)
}
