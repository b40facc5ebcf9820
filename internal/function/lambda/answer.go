package lambda

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/room"
	"github.com/weir-gateway/weir/internal/cloud"
)

// answer turns what the API has answered into a response.
func (c *call) answer(ctx context.Context, res *http.Response) (*http.Response, *cloud.Failure) {
	c.payload = nil // it is not sent again
	c.held.Shrink(0)
	if c.mode == Async || c.mode == DryRun {
		_ = res.Body.Close() // it is empty
		c.term.End()
		return exchange.NewResponse(c.r, c.mode.accepted(), exchange.Field{Name: "Content-Length", Value: "0"}), nil
	}
	made, err := c.whole(ctx, res)
	_ = res.Body.Close() // it was read
	if err != nil {
		return nil, &cloud.Failure{Err: err, Taken: true}
	}
	c.term.End()
	return made, nil
}

// whole reads an answer, once there is room for it, and turns it into a response.
func (c *call) whole(ctx context.Context, res *http.Response) (*http.Response, error) {
	payload, err := c.read(ctx, res)
	if err != nil {
		return nil, err
	}
	if exchange.ResponseHead(res).Get("X-Amz-Function-Error") != "" {
		return nil, c.functionFailed(payload)
	}
	if c.log != "" {
		c.backend.log.LogAttrs(ctx, slog.LevelDebug, "the log of a function of AWS Lambda",
			slog.String("request_id", exchange.Of(c.r).RequestID()), slog.String("tail", c.log))
	}
	return c.decode(payload)
}

// decode turns a payload into a response. The payload's room is given back when the response's body ends.
func (c *call) decode(payload []byte) (*http.Response, error) {
	made, err := c.format.Decode(c.r, payload)
	if err != nil {
		return nil, badAnswer(err)
	}
	size := made.ContentLength
	if size < 0 { // the body follows a prelude
		size = int64(len(payload))
	}
	if c.held.Shrink(size); size == 0 {
		return made, nil
	}
	made.Body = &heldBody{ReadCloser: made.Body, held: &c.held}
	return made, nil
}

func badAnswer(err error) error {
	return fault.FunctionBadResponse.New("", fault.Cause(err))
}

// read reads the payload of an answer as far as there is room for it.
func (c *call) read(ctx context.Context, res *http.Response) ([]byte, error) {
	payload, err := c.held.Read(ctx, res.Body, res.ContentLength, mostAnswer, c.bounds.wait)
	switch {
	case errors.Is(err, room.ErrTooLong):
		return nil, badAnswer(fmt.Errorf("it has more than %d bytes, which AWS lets no function answer", mostAnswer))
	case errors.Is(err, room.ErrFull):
		return nil, noRoom(c.bounds.wait)
	}
	return payload, err //nolint:wrapcheck // the transport's own, or the cause of the context's end
}

// heldBody gives room back when the client has read the whole body, or has left.
type heldBody struct {
	io.ReadCloser

	held  *room.Part
	given atomic.Bool
}

func (b *heldBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.give()
	}
	return n, err //nolint:wrapcheck // it is only passed on
}

func (b *heldBody) Close() error {
	b.give()
	return b.ReadCloser.Close() //nolint:wrapcheck // it is only passed on
}

func (b *heldBody) give() {
	if !b.given.Swap(true) {
		b.held.Shrink(0)
	}
}
