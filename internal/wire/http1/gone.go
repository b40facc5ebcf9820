package http1

import (
	"net"
	"syscall"
)

// socketOf returns the socket below a connection, nil if it cannot be asked.
func socketOf(conn net.Conn) syscall.RawConn {
	for {
		if socket, ok := conn.(syscall.Conn); ok && asksSockets {
			raw, err := socket.SyscallConn()
			if err != nil {
				return nil
			}
			return raw
		}
		below, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		conn = below.NetConn()
	}
}

// check checks whether the client has left while its request is answered, in that state. If the socket cannot be asked,
// a goroutine reads from the connection.
func (c *Conn) check(state int64) {
	if c.socket != nil {
		if hasLeft(c.socket, c.tls != nil) {
			c.leave()
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watched != nil || c.state.Load() != state {
		return
	}
	c.watched = make(chan struct{})
	go c.watch(c.watched)
}

// watch reads a byte while a request is answered, and cancels the request's context if none can come. unwatch waits for
// it to end.
func (c *Conn) watch(ended chan<- struct{}) {
	defer close(ended)
	n, err := c.net.Read(c.one[:])
	c.mu.Lock()
	defer c.mu.Unlock()
	c.came = n > 0
	if n == 0 && !timedOut(err) && c.current != nil {
		c.current.Cancel(nil)
	}
}

// unwatch ends the watch, and takes over the byte that it has read. The caller is about to read.
func (c *Conn) unwatch(t *turn) {
	c.expect(nothing, 0)
	if c.socket != nil {
		return // there is none, see check
	}
	c.mu.Lock()
	ended := c.watched
	if ended != nil {
		_ = c.net.SetReadDeadline(past) // if the connection is closed, its reader finds out
		c.bounded = true
	}
	c.mu.Unlock()
	if ended == nil {
		return
	}
	<-ended
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched = nil // the sweep may look just now
	if c.came {
		c.came = false
		t.in.add(c.one[0])
	}
}
