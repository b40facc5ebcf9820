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

// out is what is sent to a client: one goroutine writes it, so that nobody who sends waits for a
// client that is slow. It is safe for concurrent use.
type out struct {
	to    *io.PipeWriter
	frame int    // the largest
	most  int64  // bytes that may wait
	lost  func() // is called where the client takes nothing for too long

	mu      sync.Mutex
	more    *sync.Cond
	waiting [][]byte  // messages in frames, and a close frame
	held    room.Part // what these take
	pong    []byte    // the frame that answers the latest ping, nil where it is answered
	last    bool      // a close frame was put there; nothing follows
}

func newOut(to *io.PipeWriter, held room.Part, frame, most int, lost func()) *out {
	o := &out{to: to, held: held, frame: frame, most: int64(most), lost: lost}
	o.more = sync.NewCond(&o.mu)
	return o
}

// message has a message sent: text where it is UTF-8.
func (o *out) message(payload []byte) error {
	op := websocket.Binary
	if utf8.Valid(payload) {
		op = websocket.Text
	}
	var frames buffer
	_ = websocket.WriteMessage(&frames, op, payload, o.frame) // a buffer takes all
	return o.put(frames)
}

// buffer grows.
type buffer []byte

func (b *buffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// overhead is what frames that wait take beside their bytes, so that many empty ones are not free.
const overhead = 64

func size(frames []byte) int64 { return int64(overhead + len(frames)) }

// put has the frames of a message written.
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

// add is called with the lock held, and with room for the frames.
func (o *out) add(frames []byte) {
	o.waiting = append(o.waiting, frames)
	o.more.Signal()
}

// answer has a ping answered. Of several that were not answered yet only the latest is (RFC 6455
// section 5.5.3), so that a client that takes nothing cannot fill this process with pongs.
func (o *out) answer(ping []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last {
		return
	}
	o.pong = websocket.AppendFrame(nil, websocket.Pong, true, ping)
	o.more.Signal()
}

// end puts a close frame after all that waits, however much that is; nothing follows it.
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

// next waits for what is to be written: a pong, frames or both; neither at the end.
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

// run writes until what is last was written, or nobody reads.
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

// written gives back what frames took, and all that waits where nobody reads.
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

// stall is how long a client may take nothing at all of what is sent to it; progress is how
// much of it tells that it has.
const (
	stall    = 30 * time.Second
	progress = 4 << 10
)

// cut ends the connection without any more words.
func (o *out) cut() {
	_ = o.to.CloseWithError(io.ErrClosedPipe) // never fails
	o.lost()
}

// drop forgets what nobody takes any more. It is called with the lock held.
func (o *out) drop() {
	o.held.Shrink(0)
	o.waiting, o.pong, o.last = nil, nil, true
}
