package websocket

import (
	"io"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/room"
	"github.com/weir-gateway/weir/internal/base/sockets"
	"github.com/weir-gateway/weir/internal/wire/websocket"
)

// out holds what is sent to a client. One goroutine writes it, so that no sender waits for a slow client. It is safe
// for concurrent use.
type out struct {
	to    *io.PipeWriter
	frame int    // the largest size
	most  int64  // bytes that may wait
	lost  func() // called if the client reads nothing for too long

	mu      sync.Mutex
	more    *sync.Cond
	waiting [][]byte  // messages as frames, and a close frame
	held    room.Part // room for waiting
	pong    []byte    // the answer to the latest ping, nil if it is sent
	last    bool      // a close frame was queued; nothing follows
}

func newOut(to *io.PipeWriter, held room.Part, frame, most int, lost func()) *out {
	o := &out{to: to, held: held, frame: frame, most: int64(most), lost: lost}
	o.more = sync.NewCond(&o.mu)
	return o
}

// message queues a message: as text if it is UTF-8.
func (o *out) message(payload []byte) error {
	op := websocket.Binary
	if utf8.Valid(payload) {
		op = websocket.Text
	}
	var frames buffer
	_ = websocket.WriteMessage(&frames, op, payload, o.frame) // a buffer takes all
	return o.put(frames)
}

// buffer is a writer to a growing slice.
type buffer []byte

func (b *buffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// overhead is counted for each waiting message in addition to its bytes, so that many empty ones are not free.
const overhead = 64

func size(frames []byte) int64 { return int64(overhead + len(frames)) }

// put queues the frames of a message.
func (o *out) put(frames []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last {
		return sockets.ErrGone
	}
	held := o.held.Bytes()
	full := held > 0 && held+size(frames) > o.most
	if full || !o.held.Try(held+size(frames)) {
		return sockets.ErrSlow
	}
	o.add(frames)
	return nil
}

// add queues frames. It is called with the lock held, and with room for the frames.
func (o *out) add(frames []byte) {
	o.waiting = append(o.waiting, frames)
	o.more.Signal()
}

// answer queues the answer to a ping. If several pings are unanswered, only the latest is answered (RFC 6455 section
// 5.5.3), so that a client that reads nothing cannot fill this process with pongs.
func (o *out) answer(ping []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last {
		return
	}
	o.pong = websocket.AppendFrame(nil, websocket.Pong, true, ping)
	o.more.Signal()
}

// end queues a close frame after everything that waits, whatever its size; nothing follows it.
func (o *out) end(status int, reason string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last {
		return
	}
	o.last, o.pong = true, nil
	frames := websocket.CloseFrame(status, reason)
	o.held.Insist(o.held.Bytes() + size(frames))
	o.add(frames)
}

// next waits for something to write: a pong, frames or both; neither at the end.
func (o *out) next() (pong, frames []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.waiting) == 0 && o.pong == nil && !o.last {
		o.more.Wait()
	}
	pong, o.pong = o.pong, nil
	if len(o.waiting) > 0 {
		frames, o.waiting = o.waiting[0], o.waiting[1:]
	}
	return pong, frames
}

// run writes until the last frames are written, or the proxy no longer reads.
func (o *out) run() {
	for {
		pong, frames := o.next()
		if pong == nil && frames == nil {
			_ = o.to.Close() // never fails
			return
		}
		err := o.write(pong)
		if err == nil {
			err = o.write(frames)
		}
		o.written(frames, err)
	}
}

func (o *out) write(frames []byte) error {
	if len(frames) == 0 {
		return nil
	}
	stalled := time.AfterFunc(stall, o.cut)
	defer stalled.Stop()
	for piece := range slices.Chunk(frames, progress) {
		stalled.Reset(stall)
		if _, err := o.to.Write(piece); err != nil {
			return err //nolint:wrapcheck // it only tells that nobody reads
		}
	}
	return nil
}

// written gives back the room of frames, and of everything that waits if the proxy no longer reads.
func (o *out) written(frames []byte, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if frames != nil {
		o.held.Shrink(o.held.Bytes() - size(frames))
	}
	if err != nil {
		o.drop()
	}
}

// stall is how long a client may read nothing of what is sent to it; progress is how many bytes it must read in that
// time.
const (
	stall    = 30 * time.Second
	progress = 4 << 10
)

// cut ends the connection without a close frame.
func (o *out) cut() {
	_ = o.to.CloseWithError(io.ErrClosedPipe) // never fails
	o.lost()
}

// drop discards what is no longer read. It is called with the lock held.
func (o *out) drop() {
	o.held.Shrink(0)
	o.waiting, o.pong, o.last = nil, nil, true
}
