package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// mostAhead is how much of a request's content is waited for before a backend is
// called. It is a promise: docs name it.
const mostAhead = 64 << 10

// The room for what is read ahead is part of the body at first, and then grows eightfold
// where it was filled: who announces much and sends little costs little.
const (
	leastAhead = 512
	aheadGrows = 8
)

// readAhead waits for content whose length is known, as far as it may be held. A client
// that sends slowly holds no backend and no connection to one meanwhile, and content
// that is whole can be sent again (out.GetBody). Content without a length may be one
// side of a conversation, and where the client awaits a 100 the backend decides whether
// there will be any: those stream.
func (t *passage) readAhead(out *http.Request) error {
	if t.body == nil || t.r.ContentLength <= 0 || exchange.RequestHead(t.r).Get("Expect") != "" {
		return nil
	}
	held, whole, err := t.body.readUpTo(t.r.ContentLength)
	if err != nil {
		return err
	}
	if !whole {
		t.body.ahead = held
		return nil
	}
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(held)), nil }
	t.body.held.Reset(held)
	out.Body = io.NopCloser(&t.body.held) // which net/http sends in one piece with the head
	return nil
}

// readUpTo reads mostAhead, or until the end; length is how much there is.
func (b *body) readUpTo(length int64) (held []byte, whole bool, err error) {
	held = b.least[:0:min(length, leastAhead)]
	for {
		if len(held) == cap(held) && int64(len(held)) < length {
			if len(held) >= mostAhead {
				return held, false, nil
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
			return held, true, nil
		case err != nil:
			return nil, false, err
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
