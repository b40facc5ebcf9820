package abuse_test

import (
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
)

// slow is something that a client does on many connections, as slowly as it can.
type slow struct {
	name string
	// first is what each connection begins with; after that it sends more once a second.
	first, more string
	reads       bool // the client reads what it is sent
}

func slows() []slow {
	return []slow{
		{name: "slowloris: a line of the head a second", first: "GET / HTTP/1.1\r\nHost: a\r\n", more: "A: b\r\n", reads: true},
		{name: "slow POST: a byte a second", first: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", more: "a", reads: true},
		{name: "slow read: nothing of a large response is taken", first: "GET /large HTTP/1.1\r\nHost: a\r\n\r\n"},
	}
}

// crowd is the set of connections of one attack.
type crowd struct {
	conns []net.Conn
	stop  chan struct{}
	done  sync.WaitGroup
}

// gather opens n connections to address and starts the attack on them.
func gather(t testing.TB, address string, n int, s slow) *crowd {
	t.Helper()
	c := &crowd{stop: make(chan struct{})}
	dialer := net.Dialer{Timeout: await.Patience}
	if !s.reads {
		dialer.Control = narrow
	}
	for range n {
		conn, err := dialer.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		c.conns = append(c.conns, conn)
		c.done.Go(func() { c.attack(conn, s) })
	}
	return c
}

// narrow makes the client's receive window as small as the system allows.
func narrow(_, _ string, raw syscall.RawConn) error {
	var failed error
	if err := raw.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 1)
	}); err != nil {
		return fmt.Errorf("narrow: %w", err)
	}
	return failed
}

// attack goes on until the server has ended the connection, or the crowd disperses.
func (c *crowd) attack(conn net.Conn, s slow) {
	if s.reads {
		c.done.Go(func() {
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close() // the server has closed it already
		})
	}
	_, err := io.WriteString(conn, s.first)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for err == nil {
		select {
		case <-c.stop:
			return
		case <-tick.C:
			_, err = io.WriteString(conn, s.more)
		}
	}
}

// disperse ends the attack.
func (c *crowd) disperse() {
	close(c.stop)
	for _, conn := range c.conns {
		_ = conn.Close() // the attack is over
	}
	c.done.Wait()
}
