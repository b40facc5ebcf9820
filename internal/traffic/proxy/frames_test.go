package proxy

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// frame returns a frame of a server.
func frame(head byte, payload []byte) []byte {
	b := []byte{head}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

func TestFramesAreFollowedInAnyPieces(t *testing.T) {
	masked := append([]byte{0x82, 0x85, 1, 2, 3, 4}, "hello"...)
	parts := []struct {
		frame   []byte
		between bool // a message has ended
	}{
		{frame(0x81, []byte("hello")), true},
		{frame(0x01, []byte("hel")), false},
		{frame(0x89, nil), false}, // a ping in the middle of a message
		{frame(0x00, nil), false},
		{frame(0x80, []byte("lo")), true},
		{frame(0x82, bytes.Repeat([]byte{0x88}, 125)), true},
		{frame(0xc2, bytes.Repeat([]byte{0x88}, 126)), true},
		{frame(0x82, bytes.Repeat([]byte{0x88}, 70_000)), true},
		{masked, true},
		{frame(0x82, nil), true},
	}
	var all []byte
	for _, p := range parts {
		all = append(all, p.frame...)
	}
	for _, piece := range []int{1, 2, 3, 7, 1000, 8 << 10, len(all)} {
		var f frames
		at, ends := 0, 0
		for at < len(all) {
			b := all[at:min(at+piece, len(all))]
			for len(b) > 0 {
				n := f.next(b)
				at, b = at+n, b[n:]
				want := 0
				for i, p := range parts {
					if want += len(p.frame); want == at {
						ends++
						if f.between() != p.between {
							t.Errorf("in pieces of %d, behind frame %d: between is %v", piece, i, f.between())
						}
					}
				}
			}
		}
		if ends != len(parts) {
			t.Errorf("in pieces of %d: saw the ends of %d of %d frames", piece, ends, len(parts))
		}
	}
	for _, last := range [][]byte{frame(0x88, []byte{3, 232}), {0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0}} {
		var f frames
		f.next(last)
		if f.next([]byte{0x81, 0}); f.between() {
			t.Errorf("behind %x a frame may be put in", last)
		}
	}
}

// FuzzFrames checks that the cuts between pieces make no difference, and that the end of a frame is reported exactly
// where it is.
func FuzzFrames(f *testing.F) {
	f.Add(frame(0x81, []byte("hello")), uint8(1))
	f.Add(append(frame(0x01, []byte("hel")), frame(0x80, []byte("lo"))...), uint8(3))
	f.Add(append(frame(0x82, make([]byte, 130)), frame(0x88, nil)...), uint8(5))
	f.Add([]byte{0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5}, uint8(2))
	f.Fuzz(func(t *testing.T, b []byte, size uint8) {
		piece := int(size)%16 + 1
		var whole, pieces frames
		boundaries := func(f *frames, limit int) (ends []int) {
			for at := 0; at < len(b); {
				to := min(at+limit, len(b))
				n := f.next(b[at:to])
				if n <= 0 || n > to-at {
					t.Fatalf("passed %d of %d bytes", n, to-at)
				}
				if at += n; f.between() {
					ends = append(ends, at)
				}
			}
			return ends
		}
		a, c := boundaries(&whole, len(b)), boundaries(&pieces, piece)
		if len(a) != len(c) || whole != pieces {
			t.Fatalf("whole %v %+v, in pieces of %d %v %+v", a, whole, piece, c, pieces)
		}
		for i := range a {
			if a[i] != c[i] {
				t.Fatalf("whole %v, in pieces %v", a, c)
			}
		}
	})
}
