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

// PauseAfter returns how long to wait before another try after n failures, from 1. It doubles each time, up to a
// quarter of a second, and is spread at random by half in both directions.
func PauseAfter(n int) time.Duration {
	d := backoff.Doubling{First: firstPause, Most: longPause}.After(n)
	return d/2 + rand.N(d) //nolint:gosec // chance decides, not a secret
}

// Pause waits for as long as PauseAfter says. It returns the cause with which ctx has ended, if it has.
func Pause(ctx context.Context, n int) error {
	if !backoff.Wait(ctx, PauseAfter(n)) {
		return context.Cause(ctx)
	}
	return nil
}

// drainBytes is how much of an unwanted response is read, so that its connection can be reused.
const drainBytes = 4 << 10

// Discard gives up a response. Content of unknown length may never end, and is not read.
func Discard(res *http.Response) {
	if 0 < res.ContentLength && res.ContentLength <= drainBytes {
		_, _ = io.CopyN(io.Discard, res.Body, drainBytes)
	}
	_ = res.Body.Close() // it is unwanted
}
