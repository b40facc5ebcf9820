package http2_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/wire/http2"
)

// A client may have megabytes in its receive window that it has not read yet. Its window updates arrive when nothing
// is being sent any more, and must not look like a flood.
func TestUpdatesForContentComeLate(t *testing.T) {
	t.Parallel()
	const updates, perUpdate = 20_000, 2 << 10
	client := http2.Preface + frameOf(http2.Settings, 0, 0, "") + strings.Repeat(frameOf(http2.WindowUpdate, 0, 0, "\x00\x00\x08\x00"), updates)
	for name, sent := range map[string]int{"after a download": updates * perUpdate, "for nothing": 0} {
		m := http2.NewMeter(&sink{pieces: pieces{left: []byte(client)}}, &http2.Options{HeadBytes: 1 << 16}, false, never)
		read := make([]byte, 64)
		if _, err := m.Read(read); err != nil { // the preface; frames are counted from here on
			t.Fatal(err)
		}
		frame := frameOf(http2.Data, 0, 1, strings.Repeat("x", 16<<10))
		for range sent / (16 << 10) {
			if _, err := m.Write([]byte(frame)); err != nil {
				t.Fatal(err)
			}
		}
		_, err := io.Copy(io.Discard, struct{ io.Reader }{m})
		if flood := errors.Is(err, http2.ErrEnded); flood != (sent == 0) {
			t.Errorf("%s: the connection ended with %v, for %v", name, err, m.Reason())
		}
	}
}

// sink is a pieces whose client accepts everything that the server writes.
type sink struct{ pieces }

func (*sink) Write(p []byte) (int, error) { return len(p), nil }
