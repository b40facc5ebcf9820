package http2_test

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"github.com/weir-gateway/weir/internal/wire/http2"
)

// loop is a connection whose client sends the same bytes again and again.
type loop struct {
	net.Conn

	preface, b []byte
	at         int
}

func (l *loop) Read(p []byte) (int, error) {
	if len(l.preface) > 0 {
		n := copy(p, l.preface)
		l.preface = l.preface[n:]
		return n, nil
	}
	n := copy(p, l.b[l.at:])
	l.at = (l.at + n) % len(l.b)
	return n, nil
}

func (l *loop) Write(p []byte) (int, error)     { return len(p), nil }
func (l *loop) SetReadDeadline(time.Time) error { return nil }
func (l *loop) RemoteAddr() net.Addr            { return nil }

// traffic returns what clients send, cut the way the server's own reader reads it: first the frame's header, then its
// payload.
func traffic() map[string][]byte {
	made := map[string][]byte{}
	for name, do := range map[string]func(f *xhttp2.Framer) error{
		"requests": func(f *xhttp2.Framer) error {
			return f.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, EndStream: true, EndHeaders: true, BlockFragment: make([]byte, 50)})
		},
		"content": func(f *xhttp2.Framer) error { return f.WriteData(1, false, make([]byte, 16<<10)) },
		"updates": func(f *xhttp2.Framer) error { return f.WriteWindowUpdate(0, 1<<15) },
		"pings":   func(f *xhttp2.Framer) error { return f.WritePing(false, [8]byte{}) },
	} {
		var b bytes.Buffer
		if err := do(xhttp2.NewFramer(&b, nil)); err != nil {
			panic(err)
		}
		made[name] = b.Bytes()
	}
	return made
}

// newMeter returns a Meter for a client that sends b for ever after its preface.
func newMeter(t testing.TB, b []byte) *http2.Meter {
	t.Helper()
	c := &loop{preface: []byte(http2.Preface), b: b}
	m := http2.NewMeter(c, &http2.Options{HeadBytes: 64 << 10, HeadTime: 10 * time.Second}, false, never)
	if _, err := io.ReadFull(m, make([]byte, len(http2.Preface))); err != nil {
		t.Fatal(err)
	}
	return m
}

func readFrame(m *http2.Meter, buf []byte) error {
	m.Began() // as if a handler had started
	m.Served()
	if _, err := io.ReadFull(m, buf[:9]); err != nil {
		return err
	}
	_, err := io.ReadFull(m, buf[9:])
	return err
}

func BenchmarkMeterRead(b *testing.B) {
	for name, frame := range traffic() {
		b.Run(name, func(b *testing.B) {
			m, buf := newMeter(b, frame), make([]byte, len(frame))
			b.ReportAllocs()
			for b.Loop() {
				if err := readFrame(m, buf); err != nil {
					b.Fatal(err, m.Reason())
				}
			}
		})
	}
}

// BenchmarkWithoutMeter measures the cost of the connection under the Meter.
func BenchmarkWithoutMeter(b *testing.B) {
	for name, frame := range traffic() {
		b.Run(name, func(b *testing.B) {
			c, buf := &loop{b: frame}, make([]byte, len(frame))
			for b.Loop() {
				_, _ = io.ReadFull(c, buf[:9])
				_, _ = io.ReadFull(c, buf[9:])
			}
		})
	}
}

func BenchmarkMeterWrite(b *testing.B) {
	m := newMeter(b, nil)
	frame := traffic()["content"]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Write(frame); err != nil {
			b.Fatal(err)
		}
	}
}

func TestMeterAllocatesNothing(t *testing.T) {
	for name, frame := range traffic() {
		m, buf := newMeter(t, frame), make([]byte, len(frame))
		if n := testing.AllocsPerRun(1000, func() {
			if err := readFrame(m, buf); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations for a frame from the client", name, n)
		}
		if n := testing.AllocsPerRun(1000, func() { _, _ = m.Write(frame) }); n > 0 {
			t.Errorf("%s: %v allocations for a frame to the client", name, n)
		}
	}
}
