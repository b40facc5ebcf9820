package corpora_test

import (
	"errors"
	"net"
	"strconv"
	"sync"
	"testing"
)

// seenField is the header field in which an answer of the recorder carries the number of the request that is
// answered, so that each client knows which recorded request was its own.
const seenField = "X-Seen"

// recorder is an origin that records every byte that it gets, and answers each well-formed request with 200 on a
// connection that it keeps open.
type recorder struct {
	address  string
	listener net.Listener
	serving  sync.WaitGroup

	mu       sync.Mutex
	requests []request // complete ones, in the order of their answers
	tails    []tail
}

// tail is the end of a connection that did not end between two requests.
type tail struct {
	raw    []byte // from the end of the last complete request on
	err    error  // errShort or a malformedError
	before int    // the number of the last complete request, or -1
}

func startRecorder(t *testing.T) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rec := &recorder{address: l.Addr().String(), listener: l}
	rec.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			rec.serving.Go(func() { rec.serve(conn) })
		}
	})
	return rec
}

// finish waits until all connections have ended, which happens when the gateway ends, and returns everything that was
// recorded.
func (rec *recorder) finish() ([]request, []tail) {
	_ = rec.listener.Close()
	rec.serving.Wait()
	return rec.requests, rec.tails
}

// serve reads to the end of the connection. After malformed bytes it answers nothing more, but still reads: what
// follows is evidence.
func (rec *recorder) serve(conn net.Conn) {
	defer conn.Close()
	var pending []byte
	var bad malformedError
	buffer := make([]byte, 64<<10)
	last := -1
	for {
		n, readErr := conn.Read(buffer)
		pending = append(pending, buffer[:n]...)
		err := error(bad)
		for bad == "" {
			var q request
			if q, pending, err = readRequest(pending); err != nil {
				errors.As(err, &bad)
				break
			}
			last = rec.add(q)
			if _, err := conn.Write(answerTo(q, last)); err != nil {
				break // the gateway is gone; the next Read reports it
			}
		}
		if readErr != nil {
			rec.end(tail{raw: pending, err: err, before: last})
			return
		}
	}
}

func answerTo(q request, number int) []byte {
	head := "HTTP/1.1 200 OK\r\n" + seenField + ": " + strconv.Itoa(number) + "\r\nContent-Length: 2\r\n\r\n"
	if q.method == "HEAD" {
		return []byte(head)
	}
	return []byte(head + "ok")
}

func (rec *recorder) add(q request) int {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.requests = append(rec.requests, q)
	return len(rec.requests) - 1
}

func (rec *recorder) end(t tail) {
	if len(t.raw) == 0 {
		return
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.tails = append(rec.tails, t)
}
