package http1_test

import (
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/wire/http1"
)

// sated is a server's end of a connection whose client takes the first piece and no other.
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

func TestAResponseThatNobodyTakesHoldsNoPieceOfItsOwn(t *testing.T) {
	const n, bytesEach = 100, 48 << 10 // a piece is larger
	piece := make([]byte, 32<<10)
	s := newServer(t, http1.ServerOptions{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		for err := error(nil); err == nil; {
			_, err = w.Write(piece)
		}
	})})
	used := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what was pooled is lost with the second one
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	before, waits := used(), make(chan struct{})
	for range n {
		client, conn := net.Pipe()
		t.Cleanup(func() { _ = client.Close() }) // nothing was promised on it
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
