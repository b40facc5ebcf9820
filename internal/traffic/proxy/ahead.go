package proxy

import (
	"errors"
	"io"
)

// mostAhead is how much of a request's content the proxy waits for before it calls a
// backend. The docs state this value.
const mostAhead = 64 << 10

// The memory for reading ahead is at first part of the body, unless more content is already
// there. When it is full, it grows eightfold: a client that announces much and sends little
// costs little.
const (
	leastAhead = 64
	aheadGrows = 8
)

// buffered is content of which some can be read without waiting.
type buffered interface{ Buffered() int }

// isHere reports whether all of the content can be read without waiting.
func (b *body) isHere() bool {
	length := b.r.ContentLength
	return length > 0 && length <= mostAhead && b.expects() == "" && b.buffered() == length
}

// buffered returns how much of the content can be read without waiting, as far as this can
// be known.
func (b *body) buffered() int64 {
	if source, ok := b.source.(buffered); ok {
		return min(int64(source.Buffered()), b.r.ContentLength)
	}
	return 0
}

// roomFor returns an empty slice with room for n bytes.
func (b *body) roomFor(n int64) []byte {
	if int64(cap(b.room)) < n {
		b.room = make([]byte, 0, n)
	}
	return b.room[:0:n]
}

// readAhead waits for content of known length, up to the amount that may be held. So a
// client that sends slowly holds neither a backend nor a connection to one, and content
// that has come in full can be sent again (GetBody of the request to the backend). Content
// without a length may be one side of a conversation, and if the client waits for a 100,
// the backend decides whether there will be any content: these stream.
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
		if len(room) == 0 { // to read the end, which HTTP/2 reports separately
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

// fromAhead copies content that was read ahead into p. The caller has locked mu.
func (b *body) fromAhead(p []byte) int {
	n := copy(p, b.ahead)
	if b.ahead = b.ahead[n:]; len(b.ahead) == 0 {
		b.ahead = nil
	}
	return n
}
