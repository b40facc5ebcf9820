package notify

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// written is an event as the kernel writes it, its name filled up with zeros to length.
func written(e event, length int) []byte {
	b := binary.NativeEndian.AppendUint32(nil, uint32(e.number))
	b = binary.NativeEndian.AppendUint32(b, e.mask)
	b = binary.NativeEndian.AppendUint32(b, 7) // the cookie
	b = binary.NativeEndian.AppendUint32(b, uint32(length))
	return append(append(b, e.name...), make([]byte, length-len(e.name))...)
}

func TestEventsThatAreReadTogetherAreTakenApart(t *testing.T) {
	events := []event{
		{1, unix.IN_CREATE, "a"},
		{1, unix.IN_DELETE_SELF, ""},
		{1<<31 - 1, unix.IN_MOVED_TO | unix.IN_ISDIR, strings.Repeat("n", unix.NAME_MAX)},
		{-1, unix.IN_Q_OVERFLOW, ""},
	}
	var b []byte
	for _, e := range events {
		b = append(b, written(e, len(e.name)+1)...)
	}
	b = append(b, written(events[1], 0)...)
	for _, want := range append(events, events[1]) {
		got, rest, ok := parse(b)
		if !ok || got != want {
			t.Fatalf("%v, %t; want %v", got, ok, want)
		}
		b = rest
	}
	if len(b) > 0 {
		t.Errorf("%d bytes are left", len(b))
	}
}

// Whatever the bytes are: what is taken is a whole event, and nothing but it.
func FuzzParse(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(written(event{1, unix.IN_CREATE, "a"}, 16))
	f.Add(slices.Concat(written(event{-1, unix.IN_Q_OVERFLOW, ""}, 0), written(event{2, unix.IN_MODIFY, "weir.yaml"}, 16)))
	f.Add(written(event{1, unix.IN_CREATE, "cut off"}, 16)[:20])
	f.Add(bytes.Repeat([]byte{0xff}, 32))
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			e, rest, ok := parse(b)
			if !ok {
				if len(b) >= unix.SizeofInotifyEvent && uint64(binary.NativeEndian.Uint32(b[12:])) <= uint64(len(b)-unix.SizeofInotifyEvent) {
					t.Fatalf("a whole event was refused: %x", b)
				}
				return
			}
			taken := b[:len(b)-len(rest)]
			head := written(e, len(e.name))[:unix.SizeofInotifyEvent]
			if !bytes.Equal(taken[:8], head[:8]) || len(taken) != unix.SizeofInotifyEvent+int(binary.NativeEndian.Uint32(taken[12:])) {
				t.Fatalf("%v of %x", e, taken)
			}
			name, _, _ := bytes.Cut(taken[unix.SizeofInotifyEvent:], []byte{0})
			if string(name) != e.name {
				t.Fatalf("%q of %x", e.name, taken)
			}
			b = rest
		}
	})
}
