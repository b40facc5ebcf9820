package http2_test

import (
	"bytes"
	"io"
	"slices"
	"testing"

	"go.uber.org/goleak"
	xhttp2 "golang.org/x/net/http2"

	"github.com/weir-gateway/weir/internal/wire/http2"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// head is the part of a frame that is compared.
type head struct {
	kind, flags    uint8
	length, stream uint32
}

// scan returns the frames that a Scanner finds in b. b arrives in pieces, whose lengths are sizes, repeated as
// needed.
func scan(b, sizes []byte) (frames []head, between bool) {
	var s http2.Scanner
	for i := 0; len(b) > 0; i++ {
		piece := b
		if len(sizes) > 0 {
			piece = b[:min(len(b), int(sizes[i%len(sizes)])+1)]
		}
		b = b[len(piece):]
		for len(piece) > 0 {
			n, whole := s.Scan(piece)
			piece = piece[n:]
			if whole {
				f := s.Frame()
				frames = append(frames, head{uint8(f.Type), uint8(f.Flags), f.Length, f.Stream})
			}
		}
	}
	return frames, s.Between()
}

// reference returns the frames that golang.org/x/net/http2 finds.
func reference(b []byte) (frames []head, between bool) {
	r := bytes.NewReader(b)
	for {
		f, err := xhttp2.ReadFrameHeader(r)
		if err != nil {
			return frames, err == io.EOF //nolint:errorlint // it is not wrapped
		}
		if n, _ := io.CopyN(io.Discard, r, int64(f.Length)); n < int64(f.Length) {
			return frames, false
		}
		frames = append(frames, head{uint8(f.Type), uint8(f.Flags), f.Length, f.StreamID})
	}
}

// FuzzScanner compares the frames that a Scanner finds with those that the server's own reader finds, however the
// bytes are cut into pieces.
func FuzzScanner(f *testing.F) {
	var b bytes.Buffer
	framer := xhttp2.NewFramer(&b, nil)
	for _, err := range []error{
		framer.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1}),
		framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte("block"), PadLength: 7}),
		framer.WriteContinuation(1, true, []byte("more")),
		framer.WriteDataPadded(1, false, []byte("content"), make([]byte, 200)),
		framer.WriteData(1, true, nil),
		framer.WritePing(false, [8]byte{}),
		framer.WriteRSTStream(1, xhttp2.ErrCodeCancel),
		framer.WriteWindowUpdate(0, 1<<30),
		framer.WriteRawFrame(0xfb, 0xff, 1<<31-1, make([]byte, 300)),
	} {
		if err != nil {
			f.Fatal(err)
		}
	}
	f.Add(b.Bytes(), []byte{})
	f.Add(b.Bytes(), []byte{0})
	f.Add(b.Bytes(), []byte{8, 0, 13})
	f.Add([]byte{0xff, 0xff, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 1}, []byte{3})
	f.Fuzz(func(t *testing.T, b, sizes []byte) {
		got, between := scan(b, sizes)
		want, wantBetween := reference(b)
		if !slices.Equal(got, want) || between != wantBetween {
			t.Errorf("in %x by %v: %v, between %v; want %v, %v", b, sizes, got, between, want, wantBetween)
		}
	})
}

func TestContentOfDataIsWithoutPadding(t *testing.T) {
	for name, test := range map[string]struct {
		length int
		flags  http2.Flags
		first  byte
		want   uint32
	}{
		"no padding":                 {length: 10, first: 9, want: 10},
		"padding":                    {length: 10, flags: http2.Padded, first: 4, want: 5},
		"nothing but padding":        {length: 10, flags: http2.Padded, first: 9, want: 0},
		"more padding than there is": {length: 10, flags: http2.Padded, first: 200, want: 0},
		"not even its length":        {length: 0, flags: http2.Padded, want: 0},
	} {
		payload := make([]byte, test.length)
		if test.length > 0 {
			payload[0] = test.first
		}
		var s http2.Scanner
		if _, whole := s.Scan(append([]byte{0, 0, byte(test.length), byte(http2.Data), byte(test.flags), 0, 0, 0, 1}, payload...)); !whole {
			t.Fatalf("%s: the frame is not whole", name)
		}
		if got := s.Frame().Content(); got != test.want {
			t.Errorf("%s: %d bytes of content, want %d", name, got, test.want)
		}
	}
}

// FuzzMeterPassesAndCounts sends arbitrary bytes through a Meter in arbitrary pieces. While the Meter does not end
// the connection, it passes every byte on and has counted exactly the frames that are there.
func FuzzMeterPassesAndCounts(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00"), []byte{5}, true)
	f.Add([]byte("\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678\x00\x00\x02\x00\x09\x00\x00\x00\x01\x01x"), []byte{0}, false)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), []byte{100}, false)
	f.Fuzz(func(t *testing.T, b, sizes []byte, preface bool) {
		if preface {
			b = append([]byte(http2.Preface), b...)
		}
		m := http2.NewMeter(&pieces{left: b, sizes: sizes}, &http2.Options{HeadBytes: 1 << 10}, false, never)
		got, err := io.ReadAll(m)
		if !bytes.HasPrefix(b, got) {
			t.Fatalf("%x came out of %x", got, b)
		}
		if m.Reason() == http2.None && (err != nil || len(got) != len(b)) {
			t.Fatalf("%d of %d bytes came, then %v, and no reason", len(got), len(b), err)
		}
		if m.Reason() != http2.None && err == nil {
			t.Fatalf("the connection was ended (%v), and Read does not tell", m.Reason())
		}
		rest, isHTTP2 := bytes.CutPrefix(b, []byte(http2.Preface))
		if !isHTTP2 || m.Reason() != http2.None {
			return
		}
		var data int64
		frames, _ := reference(rest)
		for _, frame := range frames {
			if frame.kind == uint8(http2.Data) {
				data += int64(frame.length)
			}
		}
		if m.Received() < data {
			t.Errorf("%d bytes of DATA were counted in %x, and whole frames have %d", m.Received(), b, data)
		}
	})
}
