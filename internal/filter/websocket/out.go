package websocket

import (
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/sockets"
	"github.com/weir-gateway/weir/internal/wire/websocket"
)

// out is what is sent to a client: one goroutine writes it, so that nobody who sends waits for a
// client that is slow. It is safe for concurrent use.
type out struct {
	to    *io.PipeWriter
	hub   *sockets.Hub
	frame int    // the largest
	most  int    // bytes that may wait
	lost  func() // is called where the client takes nothing for too long

	mu      sync.Mutex
	more    *sync.Cond
	waiting [][]byte // frames
	held    int      // bytes of them
	last    bool     // a close frame was put there; nothing follows
}

func newOut(to *io.PipeWriter, hub *sockets.Hub, frame, most int, lost func()) *out {
	o := &out{to: to, hub: hub, frame: frame, most: most, lost: lost}
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
	return o.put(frames, false)
}

// buffer grows.
type buffer []byte

func (b *buffer) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}

// put has frames written. What the client needs not to be lost, as a close frame, is put there
// however much waits.
func (o *out) put(frames []byte, needed bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.last:
		return sockets.ErrGone
	case !needed && o.held > 0 && o.held+len(frames) > o.most, !o.hub.Hold(len(frames), needed):
		return sockets.ErrSlow
	}
	o.held += len(frames)
	o.waiting = append(o.waiting, frames)
	o.more.Signal()
	return nil
}

// end puts a close frame after all that waits.
func (o *out) end(status int, reason string) {
	_ = o.put(websocket.CloseFrame(status, reason), true) // it has ended already, or is cut
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = true
	o.more.Signal()
}

// run writes until what is last was written, or nobody reads.
func (o *out) run() {
	for {
		o.mu.Lock()
		for len(o.waiting) == 0 && !o.last {
			o.more.Wait()
		}
		if len(o.waiting) == 0 {
			o.mu.Unlock()
			_ = o.to.Close() // never fails
			return
		}
		frames := o.waiting[0]
		o.waiting = o.waiting[1:]
		o.mu.Unlock()
		stalled := time.AfterFunc(stall, o.cut)
		_, err := o.to.Write(frames)
		stalled.Stop()
		o.mu.Lock()
		o.held -= len(frames)
		o.hub.Release(len(frames))
		if err != nil {
			o.drop()
		}
		o.mu.Unlock()
	}
}

// stall is how long a client may take nothing at all of what is sent to it.
const stall = 30 * time.Second

// cut ends the connection without any more words.
func (o *out) cut() {
	_ = o.to.CloseWithError(io.ErrClosedPipe) // never fails
	o.lost()
}

// drop forgets what nobody takes any more. It is called with the lock held.
func (o *out) drop() {
	for _, frames := range o.waiting {
		o.hub.Release(len(frames))
	}
	o.waiting, o.held, o.last = nil, 0, true
}
