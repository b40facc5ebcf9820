package process

import "os"

// Read reads the pipe.
func (t *tap) Read(p []byte) (int, error) {
	t.mu.Lock()
	t.waits()
	t.mu.Unlock()
	n, err := t.file.Read(p)
	t.mu.Lock()
	t.idle = false
	t.mu.Unlock()
	if err != nil {
		t.ends()
	}
	return n, err //nolint:wrapcheck // an end is all that the caller looks for
}

// isEmpty takes the word of the reader, which waits: it has read all that was there
// when it began to.
func isEmpty(*os.File) bool { return true }
