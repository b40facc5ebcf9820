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

// streams are the requests that one HTTP/2 connection is serving. They bound how
// long its client lets them wait, as a Sieve and a conn do over HTTP/1.x.
//
// The rate is that of the connection: its streams share one line, and a client may
// well serve one after the other. It is not counted while a stream waits for others
// of its connection, or for us.
type streams struct {
	meter   *http2.Meter
	rate    int64 // bytes a second; 0: no bound
	endings *endings
	peer    net.Addr

	mu    sync.Mutex // guards what follows
	first *stream    // of those that are watched, linked
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

// line is one direction of a connection.
type line struct {
	pace    pace.Pace
	waiting int       // how many streams wait
	since   time.Time // until when waiting was counted
	moved   int64     // how many bytes had moved then
}

// stream is one request with its response, whose writer it is.
type stream struct {
	http.ResponseWriter

	of         *streams
	began      time.Time
	wrote      bool // a piece of the response
	watched    bool
	next, prev *stream
	waits      [ways]bool  // guarded by of.mu
	tooSlow    atomic.Bool // its content was given up
}

// content is the body of a request on a stream.
type content struct {
	io.ReadCloser

	stream *stream
}

// begin takes a request in; end must follow. What it gives takes the place of w,
// and the body of r is another.
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

// converses tells a request whose content is one side of a conversation: either
// side may be silent or deaf for as long as it likes. Frameworks whose streams go
// both ways say so.
func converses(r *http.Request) bool {
	kind := r.Header.Get("Content-Type")
	return strings.HasPrefix(kind, "application/grpc") || strings.HasPrefix(kind, "application/connect+")
}

// atOnce is how soon a request must be taken back to have been work for nothing.
// Whoever waits that long each time makes no more work than a client that waits for
// its responses.
const atOnce = 200 * time.Millisecond

// secondLook is how long a request waits before anything is done for it, where its
// client takes most of them back.
const secondLook = 5 * time.Millisecond

// stays waits for secondLook and tells whether the request is still wanted.
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

// end takes a request out; its writer and body are not touched any more.
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

// wake lets look run in d. The caller has locked mu.
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

// look gives up what was waited for too long, and comes back while there is anything.
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

// reckon counts the time that was waited, and what came meanwhile or before. The
// caller has locked mu.
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

// moved gives how many bytes of content have moved on the connection, and whether
// the client cannot help it that there were no more: it may send nothing, for others
// have not read what it sent; or takes what others have to send, and a Write on the
// connection has a bound of its own.
func (s *streams) moved(w way) (n int64, excused bool) {
	if w == up {
		return s.meter.Received(), !s.meter.MaySend()
	}
	return s.meter.Sent(), s.meter.Sending()
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// giveUp wakes all that wait in one direction. The caller has locked mu.
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

// Unwrap lets http.ResponseController find what else the writer can.
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
