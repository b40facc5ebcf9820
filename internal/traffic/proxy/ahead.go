package proxy

import (
	"errors"
	"io"
)

// mostAhead is how much of a request's content is waited for before a backend is
// called. It is a promise: docs name it.
const mostAhead = 64 << 10

// The room for what is read ahead is part of the body at first, where not more is there already, and then grows eightfold
// where it was filled: who announces much and sends little costs little.
const (
	leastAhead = 64
	aheadGrows = 8
)

// buffered is content of which something can be read without waiting.
type buffered interface{ Buffered() int }

// isHere tells whether all of it can be read without waiting.
func (b *body) isHere() bool {
	length := b.r.ContentLength
	return length > 0 && length <= mostAhead && b.expects() == "" && b.buffered() == length
}

// buffered is how much of it can be read without waiting, as far as that can be found out.
func (b *body) buffered() int64 {
	if source, ok := b.source.(buffered); ok {
		return min(int64(source.Buffered()), b.r.ContentLength)
	}
	return 0
}

// roomFor gives room for so many bytes.
func (b *body) roomFor(n int64) []byte {
	if int64(cap(b.room)) < n {
		b.room = make([]byte, 0, n)
	}
	return b.room[:0:n]
}

// readAhead waits for content whose length is known, as far as it may be held. A client
// that sends slowly holds no backend and no connection to one meanwhile, and content
// that is whole can be sent again (GetBody of the request to the backend). Content without a
// length may be one side of a conversation, and where the client awaits a 100 the backend decides
// whether there will be any: those stream.
func (b *body) readAhead() error {
	length := b.r.ContentLength
	if length <= 0 || b.expects() != "" {
		return nil
	}
	held := b.least[:0:min(length, leastAhead)]
	if here := min(b.buffered(), mostAhead); here > leastAhead {
		held = b.roomFor(here)
	}
	for {
		if len(held) == cap(held) && int64(len(held)) < length {
			if len(held) >= mostAhead {
				b.ahead = held
				return nil
			}
			held = append(make([]byte, 0, min(length, int64(len(held))*aheadGrows, mostAhead)), held...)
		}
		room := held[len(held):cap(held)]
		if len(room) == 0 { // for the end, which HTTP/2 tells apart
			room = make([]byte, 1)
		}
		n, err := b.Read(room)
		held = append(held, room[:n]...)
		switch {
		case errors.Is(err, io.EOF):
			b.ahead = held
			return nil
		case err != nil:
			return err
		}
	}
}

// fromAhead gives what was read ahead. The caller has locked mu.
func (b *body) fromAhead(p []byte) int {
	n := copy(p, b.ahead)
	if b.ahead = b.ahead[n:]; len(b.ahead) == 0 {
		b.ahead = nil
	}
	return n
}
