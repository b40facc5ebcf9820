package transport

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"
)

// sink is a connection that keeps what is written, up to a limit.
type sink struct {
	net.Conn

	got    bytes.Buffer
	room   int
	pieces int
}

var errFull = errors.New("full")

func (s *sink) Write(p []byte) (int, error) {
	s.pieces++
	if s.got.Len()+len(p) > s.room {
		n, _ := s.got.Write(p[:s.room-s.got.Len()])
		return n, errFull
	}
	return s.got.Write(p)
}

func TestContentIsSentInPiecesAsTheyCome(t *testing.T) {
	content := make([]byte, 200<<10)
	for i := range content {
		content[i] = byte(i * 31 >> 3)
	}
	errBroken := errors.New("broken")
	for name, test := range map[string]struct {
		from io.Reader
		room int
		sent int
		err  error
		most int // pieces
	}{
		"all at once":             {from: bytes.NewReader(content), room: len(content), sent: len(content), most: 1 + 200/32 + 1},
		"in halves":               {from: iotest.HalfReader(bytes.NewReader(content)), room: len(content), sent: len(content), most: 200},
		"a byte at a time":        {from: iotest.OneByteReader(bytes.NewReader(content[:100])), room: 100, sent: 100, most: 100},
		"the end with the last":   {from: iotest.DataErrReader(bytes.NewReader(content)), room: len(content), sent: len(content), most: 200},
		"nothing":                 {from: bytes.NewReader(nil)},
		"it breaks off":           {from: io.MultiReader(bytes.NewReader(content[:5000]), iotest.ErrReader(errBroken)), room: len(content), sent: 5000, err: errBroken, most: 3},
		"the endpoint breaks off": {from: bytes.NewReader(content), room: 70_000, sent: 70_000, err: errFull, most: 5},
	} {
		t.Run(name, func(t *testing.T) {
			to := &sink{room: test.room}
			c := &countedConn{Conn: to}
			sent, err := c.ReadFrom(test.from)
			if sent != int64(test.sent) || !errors.Is(err, test.err) || err != nil && test.err == nil {
				t.Errorf("sent %d, %v; want %d, %v", sent, err, test.sent, test.err)
			}
			if c.wrote.Load() != sent || !bytes.Equal(to.got.Bytes(), content[:sent]) {
				t.Errorf("%d bytes were counted of %d, and came changed: %v", c.wrote.Load(), sent, !bytes.Equal(to.got.Bytes(), content[:sent]))
			}
			if to.pieces > test.most {
				t.Errorf("it went in %d pieces, want %d at most", to.pieces, test.most)
			}
		})
	}
}

func TestContentAllocatesNothing(t *testing.T) {
	c := &countedConn{Conn: &sink{}}
	r := bytes.NewReader(nil)
	if n := testing.AllocsPerRun(100, func() { _, _ = c.ReadFrom(r) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
