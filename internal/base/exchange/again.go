package exchange

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/weir-gateway/weir/internal/base/backoff"
)

// A backend that has just failed is given some time before it is tried again.
const (
	firstPause = 25 * time.Millisecond
	longPause  = 250 * time.Millisecond
)

// PauseAfter is how long to wait before a further try at what has failed n times, from 1. It
// doubles, up to a quarter of a second, and chance spreads it by half in both directions.
func PauseAfter(n int) time.Duration {
	d := backoff.Doubling{First: firstPause, Most: longPause}.After(n)
	return d/2 + rand.N(d) //nolint:gosec // chance decides, not a secret
}

// Pause waits for as long as PauseAfter says. The error is the cause with which ctx has ended.
func Pause(ctx context.Context, n int) error {
	if !backoff.Wait(ctx, PauseAfter(n)) {
		return context.Cause(ctx)
	}
	return nil
}

// drainBytes is how much of a response that nobody wants is read, so that its
// connection can be used again.
const drainBytes = 4 << 10

// Discard gives up a response. What has no known length may never end, and is not read.
func Discard(res *http.Response) {
	if 0 < res.ContentLength && res.ContentLength <= drainBytes {
		_, _ = io.CopyN(io.Discard, res.Body, drainBytes)
	}
	_ = res.Body.Close() // nobody wants it
}
