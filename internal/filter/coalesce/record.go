package coalesce

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

// record is a body that is kept while it arrives, for requests that wait for all of it. Meanwhile it is played back to
// the first request.
type record struct {
	source io.ReadCloser

	mu   sync.Mutex
	data []byte        // grows; existing bytes never change
	end  error         // io.EOF, or why there is no more; nil while more may come
	over bool          // it is too large to keep: the playback continues from the source
	gone bool          // it is not played back any more
	more chan struct{} // closed, and replaced, when any of these changes
}

func newRecord(source io.ReadCloser) *record {
	return &record{source: source, more: make(chan struct{})}
}

// change changes the record and wakes the goroutine that waits for changes.
func (k *record) change(do func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	do()
	close(k.more)
	k.more = make(chan struct{})
}

// pieceBytes is how much is read at once.
const pieceBytes = 16 << 10

// take reads the source to its end, or until the body is larger than most or held has no room left. held counts the
// bytes that are kept; the caller gives them back.
func (k *record) take(most int64, held *atomic.Int64) (kept int64) {
	piece := make([]byte, pieceBytes)
	for {
		n, err := k.source.Read(piece)
		more := int64(n)
		if held.Add(more); n > 0 && (kept+more > most || held.Load() > int64(mostHeld)) {
			held.Add(-more)
			k.giveUp(piece[:n], err)
			return kept
		}
		kept += more
		k.change(func() { k.data, k.end = append(k.data, piece[:n]...), err })
		if err != nil {
			_ = k.source.Close() // it was read to its end, or is broken
			return kept
		}
	}
}

// kept returns the body after take, or why it will never be complete, or neither if it was too large.
func (k *record) kept() (body []byte, whole bool, failed error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.over:
		return nil, false, nil
	case errors.Is(k.end, io.EOF):
		return k.data, true, nil
	}
	return nil, false, k.end
}

// giveUp leaves the source to the playback.
func (k *record) giveUp(last []byte, end error) {
	k.change(func() {
		k.data, k.over, k.end = append(k.data, last...), true, end
		if k.gone || end != nil {
			_ = k.source.Close() // the playback will not close it
		}
	})
}

// playback reads a record from its beginning.
type playback struct {
	record *record
	ctx    context.Context //nolint:containedctx // of the request that reads it
	at     int
}

// Read implements io.Reader.
func (p *playback) Read(b []byte) (int, error) {
	k := p.record
	for {
		k.mu.Lock()
		n, end, over, more := copy(b, k.data[p.at:]), k.end, k.over, k.more
		k.mu.Unlock()
		p.at += n
		switch {
		case n > 0 || len(b) == 0:
			return n, nil
		case end != nil:
			return 0, end
		case over:
			return k.source.Read(b) //nolint:wrapcheck // the body's own
		}
		select {
		case <-more:
		case <-p.ctx.Done():
			return 0, context.Cause(p.ctx)
		}
	}
}

// Close implements io.Closer. The record is read on if others wait for it.
func (p *playback) Close() error {
	k := p.record
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.gone {
		return nil
	}
	k.gone = true
	if k.over {
		return k.source.Close() //nolint:wrapcheck // the body's own
	}
	return nil
}
