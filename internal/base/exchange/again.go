package exchange

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/weir-gateway/weir/internal/base/backoff"
)

// A backend that has just failed is given some time before the next try.
const (
	firstPause = 25 * time.Millisecond
	longPause  = 250 * time.Millisecond
)

// PauseAfter returns how long to wait before the next try at something that has failed n times, counting from 1. The
// wait doubles with each failure, up to a quarter of a second, and is spread randomly by half in both directions.
func PauseAfter(n int) time.Duration {
	d := backoff.Doubling{First: firstPause, Most: longPause}.After(n)
	return d/2 + rand.N(d) //nolint:gosec // chance decides, not a secret
}

// Pause waits as long as PauseAfter says. If ctx ends first, the error is its cause.
func Pause(ctx context.Context, n int) error {
	if !backoff.Wait(ctx, PauseAfter(n)) {
		return context.Cause(ctx)
	}
	return nil
}

// drainBytes is how much of an unwanted response is read so that its connection can be reused.
const drainBytes = 4 << 10

// Discard gives up a response. A body of unknown length may never end, so it is not read.
func Discard(res *http.Response) {
	if 0 < res.ContentLength && res.ContentLength <= drainBytes {
		_, _ = io.CopyN(io.Discard, res.Body, drainBytes)
	}
	_ = res.Body.Close() // the response is unwanted
}
