package listen

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/wire/http1"
	"github.com/weir-gateway/weir/internal/wire/http2"
	"github.com/weir-gateway/weir/internal/wire/pace"
)

// streams are the requests that one HTTP/2 connection is serving. They bound how long the client lets them wait, as a
// Sieve and a conn do over HTTP/1.x.
//
// The rate is that of the connection: its streams share one line, and a client may well serve one after the other. No
// time counts while a stream waits for others of its connection, or for us.
type streams struct {
	meter   *http2.Meter
	rate    int64 // bytes per second; 0: no bound
	endings *endings
	peer    net.Addr

	mu    sync.Mutex // guards what follows
	first *stream    // first of the linked list of watched streams
	lines [ways]line
	timer *time.Timer
	awake bool // the timer runs
}

// way is the direction of content.
type way uint8

const (
	up   way = iota // from the client
	down            // to the client
	ways
)

// line is one direction of content on a connection.
type line struct {
	pace    pace.Pace
	waiting int       // how many streams wait
	since   time.Time // the time until which waiting was counted
	moved   int64     // how many bytes had moved by then
}

// stream is one request with its response. It is the writer of the response.
type stream struct {
	http.ResponseWriter

	of         *streams
	began      time.Time
	wrote      bool // a piece of the response was written
	watched    bool
	next, prev *stream
	waits      [ways]bool  // guarded by of.mu
	tooSlow    atomic.Bool // its content was given up as too slow
}

// content is the body of a request on a stream.
type content struct {
	io.ReadCloser

	stream *stream
}

// begin adds a request; end must follow. What it returns takes the place of w, and r gets another body.
func (s *streams) begin(w http.ResponseWriter, r *http.Request) *stream {
	s.meter.Began()
	t := &stream{ResponseWriter: w, of: s, began: time.Now(), watched: s.rate > 0 && !converses(r)}
	if !t.watched {
		return t
	}
	if r.ContentLength != 0 {
		r.Body = content{r.Body, t}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.next = s.first; t.next != nil {
		t.next.prev = t
	}
	s.first = t
	s.wake(pace.Grace)
	return t
}

// converses reports whether the content of a request is one side of a conversation: either side may stay silent, or not
// read, for as long as it likes. Frameworks whose streams go both ways declare this.
func converses(r *http.Request) bool {
	kind := r.Header.Get("Content-Type")
	return strings.HasPrefix(kind, "application/grpc") || strings.HasPrefix(kind, "application/connect+")
}

// atOnce is how soon a client must cancel a request for the work on it to count as wasted. A client that waits this
// long each time causes no more work than one that waits for its responses.
const atOnce = 200 * time.Millisecond

// secondLook is how long a request waits before anything is done for it, if its client cancels most of its requests.
const secondLook = 5 * time.Millisecond

// stays waits for secondLook and reports whether the request is still wanted.
func stays(ctx context.Context) bool {
	wait := time.NewTimer(secondLook)
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wait.C:
		return true
	}
}

// end removes a request; its writer and body are not touched any more.
func (s *streams) end(t *stream, r *http.Request) {
	if r.Context().Err() == nil || time.Since(t.began) >= atOnce {
		s.meter.Served()
	}
	if !t.watched {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		s.first = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
}

// wake makes look run in d. The caller must hold mu.
func (s *streams) wake(d time.Duration) {
	switch {
	case s.awake:
	case s.timer == nil:
		s.timer = time.AfterFunc(d, s.look)
	default:
		s.timer.Reset(d)
	}
	s.awake = true
}

// look gives up the streams that have been waited for too long, and runs again while there is any stream.
func (s *streams) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awake = false
	if s.first == nil {
		return
	}
	now, next := time.Now(), pace.Grace
	for w := range ways {
		l := &s.lines[w]
		if l.waiting == 0 {
			continue
		}
		s.reckon(w, now)
		if left := l.pace.Left(); left > 0 {
			next = min(next, left)
		} else {
			s.giveUp(w)
			l.pace = pace.Pace{}
		}
	}
	s.wake(next)
}

// reckon counts the time that was waited, and what came meanwhile or before. The caller must hold mu.
func (s *streams) reckon(w way, now time.Time) {
	l := &s.lines[w]
	waited := now.Sub(l.since)
	moved, excused := s.moved(w)
	if excused {
		waited = 0
	}
	l.pace.Waited(waited, moved-l.moved, s.rate)
	l.since, l.moved = now, moved
}

// moved returns how many bytes of content have moved on the connection, and whether it is not the client's fault that
// there were no more. The client may be unable to send, because other streams have not read what it sent. Or it takes
// what other streams send, and a Write on the connection has a bound of its own.
func (s *streams) moved(w way) (n int64, excused bool) {
	if w == up {
		return s.meter.Received(), !s.meter.MaySend()
	}
	return s.meter.Sent(), s.meter.Sending()
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// giveUp wakes everything that waits in one direction. The caller must hold mu.
func (s *streams) giveUp(w way) {
	s.endings.tell(endedBodyRate, s.peer)
	for t := s.first; t != nil; t = t.next {
		if !t.waits[w] {
			continue
		}
		control := http.NewResponseController(t.ResponseWriter)
		if w == down {
			_ = control.SetWriteDeadline(past) // resets the stream; net/http's writer can
			continue
		}
		t.tooSlow.Store(true)
		_ = control.SetReadDeadline(past) // net/http's writer can
	}
}

func (s *streams) await(t *stream, w way) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.waits[w] = true
	l := &s.lines[w]
	if l.waiting++; l.waiting == 1 {
		l.since = time.Now()
		s.reckon(w, l.since)
	}
}

func (s *streams) got(t *stream, w way) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.waits[w] = false
	if s.lines[w].waiting--; s.lines[w].waiting == 0 {
		s.reckon(w, time.Now())
	}
}

// Unwrap lets http.ResponseController find what else the writer can do.
func (t *stream) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// Write sends a piece of the response.
func (t *stream) Write(p []byte) (int, error) {
	if t.watched {
		t.of.await(t, down)
		defer t.of.got(t, down)
	}
	n, err := t.ResponseWriter.Write(p)
	t.of.meter.Wrote(n, !t.wrote)
	t.wrote = true
	return n, err
}

// FlushError sends what is buffered.
func (t *stream) FlushError() error {
	if t.watched {
		t.of.await(t, down)
		defer t.of.got(t, down)
	}
	return http.NewResponseController(t.ResponseWriter).Flush()
}

// Read reads a piece of the request's content.
func (c content) Read(p []byte) (int, error) {
	t := c.stream
	t.of.await(t, up)
	n, err := c.ReadCloser.Read(p)
	t.of.got(t, up)
	if err != nil && !errors.Is(err, io.EOF) && t.tooSlow.Load() {
		err = http1.ContentTooSlow.Fault()
	}
	return n, err
}
