package runtimeapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/weir-gateway/weir/internal/wire/http1"
)

// conn is one connection of the instance. Its own goroutine always reads: while a call waits for its answer, this is
// how a connection that was given up is noticed. Answers are written by the goroutine that has them.
type conn struct {
	server *Server
	net    net.Conn
	in     []byte // received and not used yet: a part of room
	room   []byte

	mu       sync.Mutex    // held while an answer is written
	out      []byte        // the buffer for answers
	waits    bool          // a call was put off, and another goroutine will answer it
	answered chan struct{} // closed when that has happened; nil if no goroutine waits for it
	last     bool          // the pending answer ends the connection
}

const (
	leastRoom = 4 << 10
	// maxHeadBytes leaves room for X-Ray's cause of an error, up to 1 MB.
	maxHeadBytes = 2 << 20
	headTime     = 10 * time.Second
	// mostKept bounds the buffer that a connection keeps after one large answer, and the size of an answer that is
	// assembled in one piece.
	mostKept = 64 << 10
	// mostDrained bounds how much unwanted content is read so that the connection can be used again.
	mostDrained = 256 << 10
)

var limits = http1.Limits{HeadBytes: maxHeadBytes, HeadFields: 1000, TargetBytes: 8 << 10}

var (
	errMalformed = errors.New("what the instance sent is no HTTP request")
	errEnded     = errors.New("the Runtime API has ended")
)

// serve answers the calls on a connection until the connection ends.
func (c *conn) serve() {
	defer func() {
		if bug := recover(); bug != nil {
			c.server.log.Error("the Runtime API failed", "error", bug, "stack", string(debug.Stack()))
		}
		c.server.forget(c)
		_ = c.net.Close() // anything unsent has no reader any more
	}()
	for {
		call, err := c.next()
		if errors.Is(err, errMalformed) {
			c.server.log.Debug("a call of the Runtime API is refused", "error", err)
			c.sayMalformed()
		}
		if err != nil {
			return
		}
		c.server.answer(call)
		if !c.proceed(call) {
			return
		}
	}
}

// sayMalformed ends the connection with an answer, unless that could be taken for the answer to another call.
func (c *conn) sayMalformed() {
	c.mu.Lock()
	due := c.waits
	c.last = true
	c.mu.Unlock()
	if !due {
		c.refuse(http.StatusBadRequest, "InvalidRequest", errMalformed.Error())
		http1.Linger(c.net)
	}
}

// proceed reports whether another call can follow this one, whose answer may still be pending.
func (c *conn) proceed(call *call) bool {
	if c.server.hasEnded() { // another goroutine may be reading the content
		return false
	}
	if call.drain() {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.waits || !c.last
	}
	http1.Linger(c.net)
	return false
}

// next receives the head of the next call, and returns once the previous call is answered.
func (c *conn) next() (*call, error) {
	seen, slow := 0, false
	for {
		c.in = bytes.TrimLeft(c.in, "\r\n")
		if n := bytes.Index(c.in[min(seen, len(c.in)):], headEnd); n >= 0 {
			if slow {
				_ = c.net.SetReadDeadline(time.Time{}) // a closed connection informs its reader
			}
			n += seen + len(headEnd)
			head := c.in[:n:n]
			c.in = c.in[n:]
			if err := c.await(); err != nil {
				return nil, err
			}
			return c.parse(head)
		}
		seen = max(0, len(c.in)-len(headEnd)+1)
		if len(c.in) > maxHeadBytes {
			return nil, errMalformed
		}
		if len(c.in) > 0 && !slow {
			slow = true
			_ = c.net.SetReadDeadline(time.Now().Add(headTime)) // a closed connection informs its reader
		}
		if err := c.receive(); err != nil {
			return nil, err
		}
	}
}

var headEnd = []byte("\r\n\r\n")

// receive reads once and appends to what is there. It invalidates slices of c.in.
func (c *conn) receive() error {
	if len(c.in) == 0 {
		if cap(c.room) > mostKept || c.room == nil {
			c.room = make([]byte, leastRoom)
		}
		c.in = c.room[:0]
	}
	if len(c.in) == cap(c.in) {
		if len(c.in) > cap(c.room)/2 {
			c.room = make([]byte, 2*cap(c.room))
		}
		c.in = c.room[:copy(c.room, c.in)]
	}
	n, err := c.net.Read(c.in[len(c.in):cap(c.in)])
	c.in = c.in[:len(c.in)+n]
	if n > 0 {
		return nil // an error is returned again by the next read
	}
	return err
}

// await waits until the previous call was answered. This is only needed for a client that sends requests ahead.
func (c *conn) await() error {
	c.mu.Lock()
	if !c.waits {
		c.mu.Unlock()
		return nil
	}
	answered := make(chan struct{})
	c.answered = answered
	c.mu.Unlock()
	select {
	case <-answered:
		return nil
	case <-c.server.ended:
		return errEnded
	}
}

// putOff says that the current call will be answered later, by another goroutine.
func (c *conn) putOff() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waits = true
}

// write sends a whole answer; each of fields is a line. It reports no errors: the loss of an instance is noticed by its
// end.
func (c *conn) write(status int, body []byte, fields ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := appendHead(c.out[:0], status)
	for _, line := range fields {
		out = append(append(out, line...), "\r\n"...)
	}
	c.send(out, body)
}

// deliver sends an invocation to the connection that has asked for it.
func (c *conn) deliver(i *Invocation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send(i.appendFields(appendHead(c.out[:0], http.StatusOK)), i.Event)
}

// send completes an answer whose first lines are already in the buffer for answers, and sends it. The caller has locked
// mu.
func (c *conn) send(out, body []byte) {
	out = append(strconv.AppendInt(append(out, "Content-Length: "...), int64(len(body)), 10), "\r\n"...)
	if c.last {
		out = append(out, "Connection: close\r\n"...)
	}
	out = append(out, "\r\n"...)
	if len(body) <= mostKept {
		out = append(out, body...)
		_, _ = c.net.Write(out)
	} else {
		pieces := net.Buffers{out, body}
		_, _ = pieces.WriteTo(c.net)
	}
	c.out = out
	if c.waits {
		c.arrived()
	}
}

// arrived records that the answer that had been put off was sent.
func (c *conn) arrived() {
	c.waits = false
	if c.answered != nil {
		close(c.answered)
		c.answered = nil
	}
	if c.last {
		_ = c.net.Close() // its reader notices that
	}
}

// appendHead appends the first lines of an answer.
func appendHead(out []byte, status int) []byte {
	out = strconv.AppendInt(append(out, "HTTP/1.1 "...), int64(status), 10)
	out = append(append(append(out, ' '), http.StatusText(status)...), "\r\nDate: "...)
	out = time.Now().UTC().AppendFormat(out, http.TimeFormat)
	return append(out, "\r\nContent-Type: application/json\r\n"...)
}

// json answers with a value that can be encoded.
func (c *conn) json(status int, value any, fields ...string) {
	body, _ := json.Marshal(value) // texts and numbers always encode
	c.write(status, body, fields...)
}

// refuse answers a call that is not accepted.
func (c *conn) refuse(status int, kind, message string) {
	c.json(status, functionError{kind, message})
}

// accept answers a call that was accepted.
func (c *conn) accept() {
	c.write(http.StatusAccepted, accepted) // exactly this: runtimes treat every other status as fatal
}

var accepted = []byte(`{"status":"OK"}`)
