package reconcile

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
)

// TestHandedOnSocketLosesNoConnection dials all the time while the socket goes
// from one loan to the next; each connection must be accepted by one of them.
func TestHandedOnSocketLosesNoConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSocket(l)
	if err != nil {
		t.Fatal(err)
	}
	const dials = 300
	accepted := make(chan struct{}, dials)
	serve := func(l *loan) {
		for {
			c, err := l.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("accept: %v", err)
				}
				return
			}
			_ = c.Close()
			accepted <- struct{}{}
		}
	}
	var servers, clients sync.WaitGroup
	clients.Go(func() {
		for range dials {
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Errorf("dial: %v", err)
				return
			}
			_ = c.Close()
		}
	})
	now := s.lend()
	for range 50 {
		current := now
		servers.Go(func() { serve(current) })
		next := s.lend()
		if err := now.Close(); err != nil {
			t.Fatal(err)
		}
		if err := now.SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a loan that has ended sets deadlines: %v", err)
		}
		now = next
	}
	servers.Go(func() { serve(now) })
	for n := range dials {
		await.From(t, fmt.Sprintf("%d of %d connections accepted", n+1, dials), accepted)
	}
	clients.Wait()
	if err := errors.Join(now.Close(), s.close()); err != nil {
		t.Error(err)
	}
	servers.Wait()
}

func TestListenerThatCannotBeWokenIsRefused(t *testing.T) {
	if _, err := newSocket(deaf{}); err == nil {
		t.Error("it was taken")
	}
}

// deaf has no SetDeadline.
type deaf struct{ net.Listener }
