package process

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
)

// Stream is one of the two output streams of a process.
type Stream int

// The streams.
const (
	Stdout Stream = iota
	Stderr
)

func (s Stream) String() string { return [...]string{"stdout", "stderr"}[s] }

// Line is one line of output.
type Line struct {
	Process string // the process's Serial
	Stream  Stream
	Text    []byte // without the line ending, at most MaxLine bytes
	Cut     int    // the number of bytes missing at the end of the line
}

// MaxLine bounds a line. The rest of a longer line is counted and dropped.
const MaxLine = 16 << 10

// readLines passes every line of r to emit until r ends. It never holds more than MaxLine bytes, however long a line
// is.
func readLines(r io.Reader, process string, stream Stream, emit func(Line)) {
	in := bufio.NewReaderSize(r, MaxLine)
	for {
		text, err := in.ReadSlice('\n')
		line := Line{Process: process, Stream: stream, Text: text}
		if errors.Is(err, bufio.ErrBufferFull) {
			line.Text = slices.Clone(text) // skipLine overwrites the buffer
			line.Cut, err = skipLine(in)
		}
		line.Text = trimEnd(line.Text)
		if len(line.Text) > 0 || err == nil {
			emit(line)
		}
		if err != nil { // the end, or the pipe was closed because a stray process held it open
			return
		}
	}
}

// skipLine drops the rest of a line and returns its length without the line ending.
func skipLine(in *bufio.Reader) (int, error) {
	cut := 0
	for {
		rest, err := in.ReadSlice('\n')
		if !errors.Is(err, bufio.ErrBufferFull) {
			return cut + len(trimEnd(rest)), err //nolint:wrapcheck // an end is all that the caller looks for
		}
		cut += len(rest) // with a carriage return at its end, which the line goes on after
	}
}

func trimEnd(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\n' {
		line = line[:n-1]
	}
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line
}

// Tail keeps the last lines of output, to explain why a process ended. The zero value is ready for use. It is safe for
// concurrent use.
type Tail struct {
	mu    sync.Mutex
	lines []string
}

const (
	tailLines     = 20
	tailLineBytes = 512
)

// Add appends a line. If Tail is full, it drops the oldest.
func (t *Tail) Add(text []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == tailLines {
		t.lines = slices.Delete(t.lines, 0, 1)
	}
	t.lines = append(t.lines, string(text[:min(len(text), tailLineBytes)]))
}

// String returns the lines, oldest first.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}
