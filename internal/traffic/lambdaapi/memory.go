package lambdaapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/weir-gateway/weir/internal/base/backoff"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/queue"
	"github.com/weir-gateway/weir/internal/function"
)

// held is an event that waits in memory.
type held struct {
	function string
	r        *http.Request // the call, detached from its client
	i        function.Invocation
	log      *slog.Logger
}

// The bounds of the pause before a function that had no time for an event is tried again, if the function does not say
// how long to wait.
const (
	shortestRest = time.Second
	longestRest  = time.Minute
)

// Serve makes the functions of this API process the events that wait in memory, in place of those of the API before. It
// is called once this API serves.
func (a *API) Serve() {
	invokers := make(map[string]function.Invoker, len(a.functions))
	for name, f := range a.functions {
		if invoker, ok := f.Backend.(function.Invoker); ok {
			invokers[name] = invoker
		}
	}
	h := a.options.Held
	h.mu.Lock()
	defer h.mu.Unlock()
	h.invokers = invokers
	maps.DeleteFunc(h.places, func(name string, _ chan struct{}) bool { return invokers[name] == nil })
}

// take takes an event, which is processed on a goroutine of its own; ok is false if there is no room for it.
func (h *Held) take(e held) (ok bool) {
	if !h.enter(len(e.i.Payload)) {
		return false
	}
	h.processing.Go(func() {
		defer h.done(len(e.i.Payload))
		if err := h.process(e); err != nil {
			e.log.LogAttrs(context.WithoutCancel(e.r.Context()), slog.LevelError, "an event was not processed",
				slog.String("function", e.function), slog.String("request", e.i.ID), slog.String("error", fmt.Sprint(err)))
		}
	})
	return true
}

// process invokes the function for an event, and tries again as long as the function has no time for it. It keeps its
// place meanwhile, because the events behind it would not get through either.
func (h *Held) process(e held) error {
	old := time.Now().Add(eventAge)
	places := h.placesOf(e.function)
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
	case <-h.life.Done():
		return errEnding
	}
	pauses := backoff.New(shortestRest, longestRest)
	for {
		if h.life.Err() != nil {
			return errEnding
		}
		o, err := h.try(e)
		if o.Verdict != queue.NotNow {
			return err
		}
		rest := max(o.After, backoff.Spread(pauses.Next()))
		if time.Now().Add(rest).After(old) {
			return fmt.Errorf("it is too old to be tried again; at last: %w", err)
		}
		if !backoff.Wait(h.life, rest) {
			return fmt.Errorf("%w; at last: %w", errEnding, err)
		}
	}
}

var errEnding = errors.New("the gateway ended before its turn")

// placesOf returns the channel that holds a token for each event of a function that is being processed.
func (h *Held) placesOf(name string) chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	places := h.places[name]
	if places == nil {
		places = make(chan struct{}, eventsAtOnce)
		h.places[name] = places
	}
	return places
}

// try invokes the function once, and returns the outcome; err is nil if all went well. A panic is a failure of this
// event alone, because it is not on a handler's goroutine.
func (h *Held) try(e held) (o queue.Outcome, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			o, err = queue.Outcome{Verdict: queue.Hopeless}, fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
	}()
	h.mu.Lock()
	invoker := h.invokers[e.function]
	h.mu.Unlock()
	if invoker == nil {
		return queue.Outcome{Verdict: queue.NotNow}, errors.New("the function is gone from the config")
	}
	r := exchange.Detach(e.r)
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(h.attempts, func() { cancel(errEnding) })()
	_, err = eventually(r.WithContext(ctx), invoker, e.i)
	return outcome(err), err
}

// Close ends h. Events that wait are reported in the log; those that are being processed may finish until ctx ends.
// It is called once no call of which h holds anything is under way any more.
func (h *Held) Close(ctx context.Context) {
	h.stop()
	defer context.AfterFunc(ctx, h.cut)()
	h.processing.Wait()
	h.cut()
}
