package lambda

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/cloud"
)

// holding is what one call has of the room that all share.
type holding struct {
	room  *cloud.Room
	bytes int64
}

// grow takes more where it is free.
func (h *holding) grow(to int64) bool {
	if to <= h.bytes {
		return true
	}
	if !h.room.TryTake(to - h.bytes) {
		return false
	}
	h.bytes = to
	return true
}

// shrink gives back what is more than so many.
func (h *holding) shrink(to int64) {
	if extra := h.bytes - to; extra > 0 {
		h.room.Give(extra)
		h.bytes = to
	}
}

// wait takes so many at once, where nothing is held yet.
func (h *holding) wait(ctx context.Context, bytes int64) error {
	if err := h.room.Take(ctx, bytes); err != nil {
		return err //nolint:wrapcheck // the cause of the context's end
	}
	h.bytes = bytes
	return nil
}

// noRoom is why a request has no room: the cause with which a wait of that length ends, which
// is 0 for who does not wait.
func noRoom(wait time.Duration) error {
	return fault.Overloaded.New("", fault.RetryAfter(time.Second),
		fault.Internal("payloads of other requests hold all the room that there is for them, and held it for %v", wait))
}

// factor is how much memory a payload takes while it is turned into the other form.
const factor = 2

// firstPiece is how much of a body of unknown length is read at first.
const firstPiece = 8 << 10

// event makes the event of the request, whose body it closes.
func (c *call) event(ctx context.Context) ([]byte, error) {
	body, err := c.body(ctx)
	if err != nil {
		return nil, err
	}
	event, err := c.format.Encode(c.r, body)
	if err != nil {
		return nil, fault.Unexpected.New("", fault.Cause(err))
	}
	if int64(len(event)) > c.bounds.largest {
		return nil, c.tooLarge()
	}
	if int64(cap(event)) > c.held.bytes && !c.held.grow(int64(cap(event))) {
		return nil, noRoom(0)
	}
	c.held.shrink(int64(cap(event)))
	return event, nil
}

// body reads the request's, where it can be small enough.
func (c *call) body(ctx context.Context) ([]byte, error) {
	r := c.r
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	defer func() { _ = r.Body.Close() }() // it was read, or the error that matters is another
	if r.ContentLength > c.bounds.largest {
		return nil, c.tooLarge()
	}
	var body []byte
	var err error
	if r.ContentLength >= 0 {
		body, err = c.known(ctx, r.ContentLength)
	} else {
		body, err = c.unknown()
	}
	switch {
	case err == nil:
		return body, nil
	case isFault(err):
		return nil, err
	case r.Context().Err() != nil:
		return nil, context.Cause(r.Context())
	}
	return nil, fault.MalformedRequest.New("The request's body could not be read.", fault.Cause(err))
}

// known reads a body whose length is told, when there is room for it.
func (c *call) known(ctx context.Context, length int64) ([]byte, error) {
	if err := c.roomFor(ctx, factor*length); err != nil {
		return nil, err
	}
	body := make([]byte, length)
	_, err := io.ReadFull(c.r.Body, body)
	return body, err //nolint:wrapcheck // body says what it is about
}

// roomFor waits for room.
func (c *call) roomFor(ctx context.Context, bytes int64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.bounds.wait, noRoom(c.bounds.wait))
	defer cancel()
	return c.held.wait(ctx, bytes)
}

// unknown reads a body as far as there is room, which it does not wait for: it holds some
// already.
func (c *call) unknown() ([]byte, error) {
	var body []byte
	for size := firstPiece; ; size *= 2 {
		size = min(size, int(c.bounds.largest)+1)
		if !c.held.grow(factor * int64(size)) {
			return nil, noRoom(0)
		}
		grown := make([]byte, len(body), size)
		copy(grown, body)
		n, err := io.ReadFull(c.r.Body, grown[len(body):size])
		body = grown[:len(body)+n]
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return body, nil
		case err != nil:
			return nil, err //nolint:wrapcheck // body says what it is about
		case int64(len(body)) > c.bounds.largest:
			return nil, c.tooLarge()
		}
	}
}

func (c *call) tooLarge() error {
	detail := fmt.Sprintf("This function takes requests of at most %d bytes, counted as they are sent to it (binary bodies as base64).", c.bounds.largest)
	if c.mode == Async {
		detail = fmt.Sprintf("This function takes events of at most %d bytes, counted as they are sent to it (binary bodies as base64).", c.bounds.largest)
	}
	return fault.FunctionTooLarge.New(detail)
}
