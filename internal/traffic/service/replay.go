package service

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// replayBytes is how much of a request's body is held for another attempt.
const replayBytes = 64 << 10

var (
	errAbandoned  = errors.New("the attempt was given up")
	errNotHeldAll = errors.New("the request's body is no longer held from its beginning")
)

// replay holds the beginning of a request's body, so that each attempt can read it
// from the start. Bytes are held as they pass; nothing is read ahead.
//
// A failed attempt may leave a goroutine behind that still waits in a Read. What it
// gets is held like everything else, so that the next attempt loses nothing; until
// then that one has what is held.
type replay struct {
	limit int

	mu       sync.Mutex
	source   io.ReadCloser
	reading  bool      // somebody reads the source
	read     sync.Cond // of mu: somebody has
	held     []byte
	consumed int // bytes that the source has given
	end      error

	spilled atomic.Bool           // more was consumed than is held
	failure atomic.Pointer[error] // why the source failed; nil while it has not
	closing sync.Once
}

// newReplay holds up to limit bytes of source; 0: only the first attempt may read.
func newReplay(source io.ReadCloser, limit int) *replay {
	r := &replay{source: source, limit: limit}
	r.read.L = &r.mu
	return r
}

// replayable tells whether another attempt could read the body from its start.
func (r *replay) replayable() bool { return !r.spilled.Load() && r.failed() == nil }

// failed gives the error of the source itself: the client's side failed, not the
// backend's.
func (r *replay) failed() error {
	if err := r.failure.Load(); err != nil {
		return *err
	}
	return nil
}

func (r *replay) close() {
	r.closing.Do(func() { _ = r.source.Close() }) // the request is over, whatever it says
}

// readAt reads for an attempt that has had the first `at` bytes.
func (r *replay) readAt(p []byte, at int, given *atomic.Bool) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		switch {
		case given.Load():
			return 0, errAbandoned
		case at < len(r.held):
			return copy(p, r.held[at:]), nil
		case at < r.consumed:
			return 0, errNotHeldAll
		case r.end != nil:
			return 0, r.end
		case !r.reading:
			return r.readOn(p, given)
		}
		r.read.Wait()
	}
}

// readOn reads the source. mu is locked, but for the time that this takes.
func (r *replay) readOn(p []byte, given *atomic.Bool) (int, error) {
	r.reading = true
	r.mu.Unlock()
	n, err := r.source.Read(p)
	r.mu.Lock()
	r.reading = false
	r.read.Broadcast()
	r.hold(p[:n], given.Load())
	r.end = err
	if err != nil && err != io.EOF {
		r.failure.Store(&err)
	}
	return n, err
}

// hold takes in what the source gave. What was given to an attempt that is over already is held
// in any case, for the next one has not had it.
func (r *replay) hold(p []byte, over bool) {
	r.consumed += len(p)
	switch {
	case r.spilled.Load():
	case r.consumed > r.limit && !over:
		r.spilled.Store(true)
		r.held = nil
	default:
		r.held = append(r.held, p...)
	}
}

// attemptBody is the body of one attempt. Close does not close the source before
// the attempt is the final one, for the next may need it.
type attemptBody struct {
	replay *replay
	at     int
	sent   func() // called when the body was read to its end or closed; nil: nobody asks

	closed, final atomic.Bool
}

func (b *attemptBody) Read(p []byte) (int, error) {
	n, err := b.replay.readAt(p, b.at, &b.closed)
	b.at += n
	if b.sent != nil && errors.Is(err, io.EOF) {
		b.sent()
	}
	return n, err
}

func (b *attemptBody) Close() error {
	b.closed.Store(true)
	if b.sent != nil {
		b.sent()
	}
	if b.final.Load() {
		b.replay.close()
	}
	return nil
}

// keep makes the attempt the final one: its Close closes the source.
func (b *attemptBody) keep() {
	b.final.Store(true)
	if b.closed.Load() {
		b.replay.close()
	}
}
