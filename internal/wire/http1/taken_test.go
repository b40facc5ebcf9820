package http1_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/wire/http1"
)

// sated is a server's end of a connection whose client takes the first piece and nothing more.
type sated struct {
	net.Conn

	taken  bool
	waits  chan<- struct{}
	closed chan struct{}
	once   sync.Once
}

func (s *sated) Write(p []byte) (int, error) {
	if !s.taken {
		s.taken = true
		return len(p), nil
	}
	s.waits <- struct{}{}
	<-s.closed
	return 0, net.ErrClosed
}

func (s *sated) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Conn.Close()
}

// used returns how much memory is in use.
func used() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the second one frees what was pooled
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

func TestAResponseThatNobodyTakesHoldsNoPieceOfItsOwn(t *testing.T) {
	const n, bytesEach = 100, 48 << 10 // a piece is larger
	piece := make([]byte, 32<<10)
	s := newServer(t, http1.ServerOptions{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		for err := error(nil); err == nil; {
			_, err = w.Write(piece)
		}
	})})
	before, waits := used(), make(chan struct{})
	for range n {
		client, conn := net.Pipe()
		t.Cleanup(func() { _ = client.Close() }) // a failed Close does not matter here
		s.Serve(&sated{Conn: conn, waits: waits, closed: make(chan struct{})}, time.Time{})
		if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		await.From(t, "a client is waited for", waits)
	}
	if each := (used() - before) / n; each > bytesEach {
		t.Errorf("%d bytes each, want %d at most", each, bytesEach)
	}
}

// hesitant is a server's end of a connection whose client takes at once only a part of what it is given.
type hesitant struct {
	net.Conn

	part int // it takes one in this many bytes
}

func (h hesitant) WriteAtOnce(p, more []byte) int {
	all := slices.Concat(p, more)
	n, _ := h.Write(all[:len(all)/h.part]) // an error shows when the rest is written
	return n
}

func TestAPieceMayBeUsedAgainThatAClientHasNotTaken(t *testing.T) {
	sizes := []int{1, 5_000, 7_000, 64 << 10, 100, 65_000, 3, 20_000, 200_000, 10}
	for name, length := range map[string]string{"in chunks": "", "of a known length": "362650"} {
		for i, part := range []int{3, 3, 1, 1, 50, 50} {
			flushes := i%2 == 0
			t.Run(fmt.Sprintf("%s, one byte in %d at once, flushed: %t", name, part, flushes), func(t *testing.T) {
				var want bytes.Buffer
				for i, size := range sizes {
					want.Write(bytes.Repeat([]byte{byte('a' + i)}, size))
				}
				s := newServer(t, http1.ServerOptions{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					if length != "" {
						w.Header().Set("Content-Length", length)
					}
					piece := make([]byte, 200_000)
					for i, size := range sizes {
						copy(piece, bytes.Repeat([]byte{byte('a' + i)}, size))
						if _, err := w.Write(piece[:size]); err != nil {
							t.Error(err)
						}
						clear(piece)
						if flushes {
							w.(http.Flusher).Flush()
						}
					}
				})})
				client, conn := net.Pipe()
				defer client.Close()
				s.Serve(hesitant{conn, part}, time.Time{})
				if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				res, err := http.ReadResponse(bufio.NewReader(client), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				got, err := io.ReadAll(res.Body)
				if err != nil || !bytes.Equal(got, want.Bytes()) {
					t.Errorf("%d bytes of %d, equal: %t, %v", len(got), want.Len(), bytes.Equal(got, want.Bytes()), err)
				}
			})
		}
	}
}

func TestAResponseThatNobodyTakesHoldsOnlyWhatIsLeftOfAPiece(t *testing.T) {
	const n, bytesEach = 100, 64 << 10 // less than the two pieces that the content passes through
	var pieces sync.Pool
	s := newServer(t, http1.ServerOptions{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for err := error(nil); err == nil; {
			piece, _ := pieces.Get().(*[32 << 10]byte)
			if piece == nil {
				piece = new([32 << 10]byte)
			}
			_, err = w.Write(piece[:])
			pieces.Put(piece)
			w.(http.Flusher).Flush()
		}
	})})
	before, waits := used(), make(chan struct{})
	for range n {
		client, conn := net.Pipe()
		t.Cleanup(func() { _ = client.Close() }) // a failed Close does not matter here
		s.Serve(&gorged{sated: sated{Conn: conn, taken: true, waits: waits, closed: make(chan struct{})}}, time.Time{})
		if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		await.From(t, "a client is waited for", waits)
	}
	if each := (used() - before) / n; each > bytesEach {
		t.Errorf("%d bytes each, want %d at most", each, bytesEach)
	}
}

// gorged is a server's end of a connection whose client takes all but 10 KiB of the first piece, and nothing more.
type gorged struct{ sated }

func (g *gorged) WriteAtOnce(p, more []byte) int { return max(0, len(p)+len(more)-10<<10) }

// A large piece is neither copied nor sent with a system call of its own.
func TestALargePieceGoesTogetherWithItsHead(t *testing.T) {
	s := newServer(t, http1.ServerOptions{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "104000")
		_, _ = w.Write(make([]byte, 4_000))
		_, _ = w.Write(make([]byte, 100_000))
	})})
	client, conn := net.Pipe()
	defer client.Close()
	calls := make(chan [2]int, 9)
	s.Serve(counting{conn, calls}, time.Time{})
	if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	got := await.From(t, "the response is written", calls)
	if head := got[0] - 4_000; head <= 0 || head > 300 || got[1] != 100_000 {
		t.Errorf("written were %d bytes, and %d", got[0], got[1])
	}
}

// counting is a server's end of a connection that reports how much it is given to write at once.
type counting struct {
	net.Conn

	calls chan<- [2]int
}

func (c counting) WriteAtOnce(p, more []byte) int {
	c.calls <- [2]int{len(p), len(more)}
	return len(p) + len(more)
}
