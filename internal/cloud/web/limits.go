package web

import (
	"cmp"
	"fmt"
	"time"

	"github.com/weir-gateway/weir/internal/cloud"
)

// Limits bound how much of a function, or of an app that is several functions, is used. Platforms have limits of their
// own.
type Limits struct {
	Concurrency int           `doc:"concurrency,omitzero" example:"50" help:"Concurrent requests to this function or app; no limit by default."`
	Queue       int           `doc:"queue" example:"1000" help:"Requests that may wait for a running one to end; further ones are answered with 429."`
	Wait        time.Duration `doc:"wait" example:"5s" help:"How long a request may wait; after that it is answered with 503."`
}

// DefaultLimits returns the limits of a function that sets none.
func DefaultLimits() Limits { return Limits{Queue: DefaultQueue, Wait: DefaultWait} }

// Mistakes returns what is wrong with the limits.
func (l Limits) Mistakes() []error {
	var list []error
	if l.Concurrency < 0 || l.Concurrency > MostAtOnce {
		list = append(list, fmt.Errorf("limits.concurrency: %d is not from 1 to %d", l.Concurrency, MostAtOnce))
	}
	if l.Queue < 0 || l.Queue > MostInQueue {
		list = append(list, fmt.Errorf("limits.queue: %d is not from 0 to %d", l.Queue, MostInQueue))
	}
	if l.Wait <= 0 {
		list = append(list, fmt.Errorf("limits.wait: it must be more than nothing"))
	}
	return list
}

// Bounds returns the bounds of a function with these limits and a timeout.
func (l Limits) Bounds(timeout time.Duration) Bounds {
	return Bounds{Timeout: timeout, Pool: cloud.PoolBounds{Max: cmp.Or(l.Concurrency, MostAtOnce), Size: l.Queue, Wait: l.Wait}}
}
