//go:build unix

package http1_test

import (
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"regexp"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/wire/http1"
)

// A socket reports what its connection would have reported.
func TestASocketReadsAsItsConnectionDoes(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(near *net.TCPConn, far net.Conn) error
		want    string
		is      error // nil: none
	}{
		"something came": {func(_ *net.TCPConn, far net.Conn) error { _, err := far.Write([]byte("hi")); return err }, "hi", nil},
		"something comes": {func(_ *net.TCPConn, far net.Conn) error {
			time.AfterFunc(10*time.Millisecond, func() { _, _ = far.Write([]byte("hi")) })
			return nil
		}, "hi", nil},
		"the end":                 {func(_ *net.TCPConn, far net.Conn) error { return far.Close() }, "", io.EOF},
		"a deadline that is over": {func(near *net.TCPConn, _ net.Conn) error { return near.SetReadDeadline(time.Unix(1, 0)) }, "", os.ErrDeadlineExceeded},
		"a deadline while it waits": {func(near *net.TCPConn, _ net.Conn) error {
			return near.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		}, "", os.ErrDeadlineExceeded},
		"it was closed": {func(near *net.TCPConn, _ net.Conn) error { return near.Close() }, "", net.ErrClosed},
		"a reset": {func(_ *net.TCPConn, far net.Conn) error {
			return errors.Join(far.(*net.TCPConn).SetLinger(0), far.Close())
		}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			read := func(of func(c *net.TCPConn) io.Reader) (string, error) {
				near, far := link(t)
				reader := of(near)
				if err := c.happens(near, far); err != nil {
					t.Fatal(err)
				}
				var p [9]byte
				n, err := reader.Read(p[:])
				return string(p[:n]), err
			}
			text, err := read(func(c *net.TCPConn) io.Reader { s := http1.NewSocket(c); return &s })
			want, wanted := read(func(c *net.TCPConn) io.Reader { return c })
			if text != c.want || text != want {
				t.Errorf("it reads %q", text)
			}
			if c.is != nil && !errors.Is(err, c.is) || reflect.TypeOf(err) != reflect.TypeOf(wanted) || withoutPorts(err) != withoutPorts(wanted) {
				t.Errorf("it fails with %v, not with %v", err, wanted)
			}
		})
	}
}

// withoutPorts returns the text of err without ports, which differ from one connection to the next.
func withoutPorts(err error) string {
	if err == nil {
		return ""
	}
	return regexp.MustCompile(`:\d+`).ReplaceAllString(err.Error(), "")
}

func TestASocketWritesWhatGoesAtOnce(t *testing.T) {
	near, far := link(t)
	s := http1.NewSocket(near)
	for _, pieces := range [][2]string{{"hi", ""}, {"", "hi"}, {"h", "i"}, {"", ""}} {
		text := pieces[0] + pieces[1]
		if n := s.WriteNow([]byte(pieces[0]), []byte(pieces[1])); n != len(text) {
			t.Errorf("%d bytes of %q went", n, pieces)
		}
		p := make([]byte, len(text))
		if _, err := io.ReadFull(far, p); err != nil || string(p) != text {
			t.Errorf("of %q there came %q, %v", pieces, p, err)
		}
	}
	if n := s.WriteNow(make([]byte, 1<<20), make([]byte, 64<<20)); n <= 0 || n >= 65<<20 { // nobody reads the other end
		t.Errorf("%d bytes went", n)
	}
	if n := s.WriteNow([]byte("h"), []byte("i")); n != 0 {
		t.Errorf("%d bytes went where there is no room", n)
	}
	if err := near.Close(); err != nil {
		t.Fatal(err)
	}
	if n := s.WriteNow([]byte("h"), []byte("i")); n != 0 {
		t.Errorf("%d bytes went to a closed one", n)
	}
}

func TestASocketReadsWhatHasCome(t *testing.T) {
	near, far := link(t)
	s := http1.NewSocket(near)
	p := make([]byte, 9)
	if n := s.ReadNow(p); n != 0 {
		t.Errorf("%d bytes came from nowhere", n)
	}
	if _, err := far.Write([]byte("hi")); err != nil {
		t.Fatal(err)
	}
	if n := s.ReadNow(nil); n != 0 {
		t.Errorf("%d bytes came to no room", n)
	}
	if n := s.ReadNow(p[:1]) + s.ReadNow(p[1:]); n != 2 || string(p[:n]) != "hi" {
		t.Errorf("%q came", p[:n])
	}
	_ = far.Close()
	if n, err := s.Read(p); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("%d bytes came behind all, and %v", n, err)
	}
	if n := s.ReadNow(p); n != 0 {
		t.Errorf("%d bytes came behind the end", n)
	}
}

func TestASocketAllocatesNothing(t *testing.T) {
	near, far := link(t)
	here, there := http1.NewSocket(near), http1.NewSocket(far)
	piece := make([]byte, 9)
	if n := testing.AllocsPerRun(100, func() {
		here.WriteNow(piece[:4], piece[4:])
		if _, err := there.Read(piece); err != nil {
			t.Fatal(err)
		}
	}); n > 0 && exact {
		t.Errorf("%v allocations", n)
	}
}

func TestOnlyAnExistingSocketIsOne(t *testing.T) {
	near, _ := net.Pipe()
	s := http1.NewSocket(near)
	if s.Exists() || s.WriteNow([]byte("hi"), nil) != 0 || s.ReadNow(make([]byte, 1)) != 0 {
		t.Error("a pipe has none")
	}
}
