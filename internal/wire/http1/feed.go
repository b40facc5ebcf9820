package http1

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/poison"
)

// feed sends the content of a request in a goroutine of its own, which ends when the content ends, the content fails,
// or the link fails. It may go on while the response is already being read.
type feed struct {
	round   *round
	link    *link
	length  int64     // unknown: in chunks
	word    chan bool // whether the endpoint wants the content; nil: the feed does not wait for it
	told    bool
	done    chan struct{}
	reading atomic.Bool
	lost    atomic.Bool           // nobody wants the content any more
	whole   atomic.Bool           // all was sent
	failure atomic.Pointer[error] // of the content itself
}

// The content is read in pieces of one of two sizes. While a client sends little at a time,
// the buffer that waits for it is small.
const (
	smallFeed = 2 << 10
	largeFeed = 32 << 10
)

var (
	smallFeeds = sync.Pool{New: func() any { return new([smallFeed + 2*chunkRoom]byte) }}
	largeFeeds = sync.Pool{New: func() any { return new([largeFeed + 2*chunkRoom]byte) }}
)

// startFeed starts sending the content.
func (r *round) startFeed(length int64) {
	f := &feed{round: r, link: r.link, length: length, done: make(chan struct{})}
	if expects(r.req) {
		f.word = make(chan bool, 1)
	}
	r.feed = f
	go f.run()
}

// tell says whether the endpoint wants the content; only the first call counts.
func (f *feed) tell(wanted bool) {
	if f != nil && f.word != nil && !f.told {
		f.told = true
		f.word <- wanted
	}
}

// failed returns the error of the content itself, nil if it has none.
func (f *feed) failed() error {
	if err := f.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// feedWait is how long a complete response waits for the content of its request to be sent: unless all of it was sent,
// the connection cannot be kept.
const feedWait = 50 * time.Millisecond

// isDone reports whether all of the content was sent, and the goroutine no longer uses the link.
func (f *feed) isDone() bool {
	f.tell(false)
	select {
	case <-f.done:
		return f.whole.Load()
	default:
	}
	timer := time.NewTimer(feedWait)
	defer timer.Stop()
	select {
	case <-f.done:
	case <-timer.C:
	}
	return f.whole.Load()
}

// isOver reports whether the goroutine has ended.
func (f *feed) isOver() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// sever ends a Read of the content that waits for the client, because the link was lost.
func (f *feed) sever(err error) {
	f.tell(false)
	f.lost.Store(true)
	r := f.round
	if r.ctx.Err() != nil || f.failed() != nil || !f.reading.Load() {
		return
	}
	if _, invalid := errors.AsType[invalidError](err); invalid {
		return
	}
	if body, ok := r.req.Body.(interface{ Sever() }); ok {
		body.Sever()
	}
}

// run sends the content. If the content itself fails, run closes the link. If the link fails, its reader finds out,
// perhaps after an answer.
func (f *feed) run() {
	defer close(f.done)
	defer closeContent(f.round.req)
	if !f.isWanted() {
		return
	}
	err := f.send()
	if err == nil {
		f.whole.Store(true)
		return
	}
	if failure, ok := errors.AsType[contentError](err); ok {
		f.failure.Store(&failure.error)
		_ = f.link.below.Close() // there is no other way to give up a request
	}
}

// isWanted waits until the endpoint asks for the content or has been silent for long enough.
func (f *feed) isWanted() bool {
	if f.word == nil {
		return true
	}
	timer := time.NewTimer(f.round.client.options.ContinueWait)
	defer timer.Stop()
	select {
	case wanted := <-f.word:
		return wanted
	case <-timer.C:
		return true
	}
}

// contentError is an error of the content, not of the connection.
type contentError struct{ error }

func (e contentError) Unwrap() error { return e.error }

func (f *feed) send() error {
	much := false
	for left := f.length; ; {
		n, err := f.sendPiece(much, left)
		if f.length != unknown {
			left -= int64(n)
		}
		switch {
		case onlyEOF(err) && left > 0 && f.length != unknown:
			return contentError{fmt.Errorf("content of %d bytes instead of %d: %w", f.length-left, f.length, io.ErrUnexpectedEOF)}
		case onlyEOF(err) && f.length == unknown:
			return f.sendTrailer()
		case onlyEOF(err):
			return nil
		case err != nil:
			return err
		}
		much = n >= smallFeed
	}
}

func (f *feed) sendPiece(large bool, left int64) (int, error) {
	if large {
		piece, _ := largeFeeds.Get().(*[largeFeed + 2*chunkRoom]byte)
		defer func() { poison.Bytes(piece[:]); largeFeeds.Put(piece) }()
		return f.sendOne(piece[:], left)
	}
	piece, _ := smallFeeds.Get().(*[smallFeed + 2*chunkRoom]byte)
	defer func() { poison.Bytes(piece[:]); smallFeeds.Put(piece) }()
	return f.sendOne(piece[:], left)
}

// sendOne sends what one Read returns, as a chunk if the content is chunked. An error of the Read is returned after its
// data was sent.
func (f *feed) sendOne(room []byte, left int64) (int, error) {
	data := room[chunkRoom : len(room)-chunkRoom]
	f.reading.Store(true) // before lost is read: sever does it the other way round
	if f.lost.Load() {
		return 0, net.ErrClosed
	}
	n, err := f.round.req.Body.Read(data)
	if err != nil && !onlyEOF(err) {
		err = contentError{err}
	}
	f.reading.Store(false)
	if n == 0 {
		return 0, err
	}
	if f.length != unknown && int64(n) > left {
		return n, contentError{errors.New("the content is longer than Content-Length says")}
	}
	piece := data[:n]
	if f.length == unknown {
		piece = asChunk(room, n)
	}
	if _, writeErr := f.link.net.Write(piece); writeErr != nil {
		return n, writeErr //nolint:wrapcheck // nobody is told of it
	}
	return n, err
}

// asChunk makes a chunk of the n bytes that lie in the middle of room, chunkRoom from its start.
func asChunk(room []byte, n int) []byte {
	var size [chunkRoom]byte
	line := append(strconv.AppendInt(size[:0], int64(n), 16), "\r\n"...)
	begin := chunkRoom - len(line)
	copy(room[begin:], line)
	return append(room[begin:chunkRoom+n], "\r\n"...)
}

// sendTrailer sends the end of the chunks, with the fields that were announced.
func (f *feed) sendTrailer() error {
	out := append(make([]byte, 0, 64), "0\r\n"...)
	for name, value := range exchange.RequestTrailer(f.round.req).All() {
		out = appendField(out, name, value)
	}
	_, err := f.link.net.Write(append(out, "\r\n"...))
	return err //nolint:wrapcheck // nobody is told of it
}
