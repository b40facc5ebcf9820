package lambda

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/room"
)

// grow makes the call hold that many bytes of the room that all functions share, and waits for them.
func (c *call) grow(ctx context.Context, bytes int64) error {
	err := c.held.Grow(ctx, bytes, c.bounds.wait)
	if errors.Is(err, room.ErrFull) {
		return noRoom(c.bounds.wait)
	}
	return err //nolint:wrapcheck // the cause of the context's end
}

// noRoom is the error for a request that has waited this long without getting room.
func noRoom(wait time.Duration) error {
	return fault.Overloaded.New("", fault.RetryAfter(time.Second),
		fault.Internal("payloads of other requests hold all the room that there is for them, and held it for %v", wait))
}

// event turns the request into its event. It closes the request's body.
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
	if err := c.grow(ctx, int64(cap(event))); err != nil {
		return nil, err
	}
	c.held.Shrink(int64(cap(event)))
	return event, nil
}

// body reads the request's body, unless it is too large.
func (c *call) body(ctx context.Context) ([]byte, error) {
	r := c.r
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	defer func() { _ = r.Body.Close() }() // it was read, or the error that matters is another
	body, err := c.held.Read(ctx, r.Body, r.ContentLength, c.bounds.largest, c.bounds.wait)
	switch {
	case err == nil:
		return body, nil
	case errors.Is(err, room.ErrTooLong):
		return nil, c.tooLarge()
	case errors.Is(err, room.ErrFull):
		return nil, noRoom(c.bounds.wait)
	case isFault(err):
		return nil, err
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	return nil, fault.MalformedRequest.New("The request's body could not be read.", fault.Cause(err))
}

func (c *call) tooLarge() error {
	what := "requests"
	if c.mode == Async {
		what = "events"
	}
	return fault.FunctionTooLarge.New(fmt.Sprintf("This function takes %s of at most %d bytes, counted as they are sent to it (binary bodies as base64).", what, c.bounds.largest))
}
