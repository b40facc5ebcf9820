package reconcile

import (
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/wire/listen"
)

// TestWhatWaitsAtTheEndIsServed gives up an address whose server is too busy to
// accept meanwhile: what waits in the queue is still that server's.
func TestWhatWaitsAtTheEndIsServed(t *testing.T) {
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": "unix:" + filepath.Join(t.TempDir(), "weir.sock")} {
		t.Run(network, func(t *testing.T) {
			l, err := listen.Open(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			s, err := newSocket(l)
			if err != nil {
				t.Fatal(err)
			}
			var clients []net.Conn
			for range 20 {
				c, err := net.Dial(network, l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = c.Close() })
				clients = append(clients, c)
			}
			now := s.lend()
			busy := time.After(2 * lastAccept)
			var server sync.WaitGroup
			server.Go(func() {
				<-busy
				for {
					c, err := now.Accept()
					if err != nil {
						if !errors.Is(err, net.ErrClosed) {
							t.Errorf("accept: %v", err)
						}
						return
					}
					server.Go(func() { defer c.Close(); _, _ = io.Copy(c, c) })
				}
			})
			if err := errors.Join(now.finish(), s.close()); err != nil {
				t.Error(err)
			}
			for i, c := range clients {
				if _, err := io.WriteString(c, "hello"); err != nil {
					t.Errorf("client %d: %v", i, err)
				} else if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
					t.Errorf("client %d: %v", i, err)
				}
				_ = c.Close()
			}
			server.Wait()
			if c, err := net.Dial(network, l.Addr().String()); err == nil {
				_ = c.Close()
				t.Error("the address still takes connections")
			}
		})
	}
}
