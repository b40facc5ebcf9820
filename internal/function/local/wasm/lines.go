package wasm

import "bytes"

// lines passes what is written to it to emit, line by line. It never holds more than mostLine bytes: the rest of a
// longer line is counted and dropped.
type lines struct {
	emit func(text []byte, cut int)
	held []byte
	cut  int
}

// mostLine is the same as for processes (package process).
const mostLine = 16 << 10

func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, rest, ended := bytes.Cut(p, []byte{'\n'})
		room := min(len(line), mostLine-len(l.held))
		l.held = append(l.held, line[:room]...)
		l.cut += len(line) - room
		if !ended {
			return n, nil
		}
		l.put()
		p = rest
	}
}

// flush emits a line that has not ended.
func (l *lines) flush() {
	if len(l.held) > 0 {
		l.put()
	}
}

func (l *lines) put() {
	l.emit(bytes.TrimSuffix(l.held, []byte{'\r'}), l.cut)
	l.held, l.cut = l.held[:0], 0
}
