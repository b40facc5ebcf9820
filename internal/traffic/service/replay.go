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

// replay holds the beginning of a request's body, so that each attempt can read it from the start. Bytes are held as
// they pass; nothing is read ahead.
//
// A failed attempt may leave a goroutine behind that still waits in a Read. What that Read returns is held like
// everything else, so that the next attempt loses nothing; meanwhile the next attempt reads what is held.
type replay struct {
	limit int
	// handsOff makes a separate goroutine read what may be held. An attempt can then be given up while the client sends
	// nothing, and the next attempt gets what comes.
	handsOff bool
	trailers []string // the names of the trailers that follow the body

	mu       sync.Mutex
	source   io.ReadCloser
	reading  bool      // a goroutine reads the source
	direct   bool      // and that goroutine is an attempt's own
	read     sync.Cond // of mu: signals that a Read of the source has ended
	held     []byte
	consumed int // bytes that the source has given
	end      error

	spilled atomic.Bool           // more was consumed than is held
	severed atomic.Bool           // a Read was ended by closing the source
	failure atomic.Pointer[error] // why the source failed; nil while it has not
	closing sync.Once
}

// newReplay holds up to limit bytes of source; 0: only the first attempt may read. repeats says that there may be
// another attempt even after some of the body was sent.
func newReplay(source io.ReadCloser, limit int, repeats bool) *replay {
	r := &replay{source: source, limit: limit, handsOff: repeats && limit > 0}
	r.read.L = &r.mu
	return r
}

// replayable reports whether another attempt could read the body from its start.
func (r *replay) replayable() bool {
	return !r.spilled.Load() && !r.severed.Load() && r.failed() == nil
}

// failed returns the error of the source itself: the client's side failed, not the backend's.
func (r *replay) failed() error {
	if err := r.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// wasSevered reports whether sever has closed the source, which a server may take for the client leaving. r may be nil.
func (r *replay) wasSevered() bool { return r != nil && r.severed.Load() }

func (r *replay) close() {
	r.closing.Do(func() { _ = r.source.Close() }) // the request is over; an error changes nothing
}

// readAt reads for an attempt that has had the first `at` bytes.
func (r *replay) readAt(p []byte, at int, given *atomic.Bool) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
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
		case !r.reading && r.handsOff && r.consumed < r.limit:
			r.reading = true
			go r.readAhead(min(len(p), r.limit-r.consumed))
		case !r.reading:
			return r.readOn(p, given)
		}
		r.read.Wait()
	}
}

// readOn reads the source. mu is locked, except during that read.
func (r *replay) readOn(p []byte, given *atomic.Bool) (int, error) {
	r.reading, r.direct = true, true
	r.mu.Unlock()
	n, err := r.source.Read(p)
	r.mu.Lock()
	r.direct = false
	r.hold(p[:n], given.Load())
	r.ends(err)
	return n, err
}

// readAhead reads up to n bytes of the source, all of which can be held. It returns when the source's Read does.
func (r *replay) readAhead(n int) {
	p := make([]byte, n)
	n, err := r.source.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hold(p[:n], false)
	r.ends(err)
}

// ends notes that a Read of the source has ended, and with which error. mu is locked.
func (r *replay) ends(err error) {
	r.reading = false
	r.read.Broadcast()
	r.end = err
	if err != nil && err != io.EOF && !r.severed.Load() { //nolint:errorlint // io.Reader gives it bare
		r.failure.Store(&err)
	}
}

// sever ends the Read of an attempt that is given up. If the attempt reads the source itself, only closing the source
// ends that Read, and then there can be no further attempt.
func (r *replay) sever() {
	r.mu.Lock()
	direct := r.direct
	if direct {
		r.severed.Store(true)
	}
	r.read.Broadcast()
	r.mu.Unlock()
	if direct {
		r.close()
	}
}

// hold takes in what the source returned. What was read by an attempt that is already over is held in any case, because
// the next attempt has not had it.
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

// attemptBody is the body of one attempt. Close closes the source only if the attempt is the final one, because the
// next one may need it.
type attemptBody struct {
	replay *replay
	at     int
	sent   func() // called when the body was read to its end or closed; may be nil
	// trailers gives the attempt the trailers of the request, which have come with the body's end; nil: there are none.
	trailers func()

	closed, final atomic.Bool
}

func (b *attemptBody) Read(p []byte) (int, error) {
	n, err := b.replay.readAt(p, b.at, &b.closed)
	b.at += n
	if errors.Is(err, io.EOF) {
		b.ended()
	}
	return n, err
}

func (b *attemptBody) ended() {
	if b.trailers != nil {
		b.trailers()
	}
	if b.sent != nil {
		b.sent()
	}
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

// Sever ends a Read when the attempt's connection is lost before there was a response.
func (b *attemptBody) Sever() {
	b.closed.Store(true)
	b.replay.sever()
}

// keep makes the attempt the final one: its Close closes the source.
func (b *attemptBody) keep() {
	b.final.Store(true)
	if b.closed.Load() {
		b.replay.close()
	}
}
