package lambdaapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/queue"
	"github.com/weir-gateway/weir/internal/function"
)

// LaneKind is the kind of the queue's lanes that invoke functions.
const LaneKind = "lambda"

// How an event is tried, as in AWS.
const (
	eventTries    = 2 // further ones
	firstPause    = time.Minute
	longestPause  = 2 * time.Minute
	eventAge      = 6 * time.Hour
	keptEnded     = 24 * time.Hour
	keptDead      = 14 * 24 * time.Hour
	eventsAtOnce  = 8
	maxEventReply = 64 << 10
)

// retryField is a header field of AWS's SDKs. Its value is the same for every try of one call.
const retryField = "Amz-Sdk-Invocation-Id"

// stored is an event as the queue keeps it.
type stored struct {
	ID      string `json:"id"`
	Context string `json:"context,omitempty"`
	// Qualifier is the qualifier by which the function was named.
	Qualifier string `json:"qualifier,omitempty"`
	Payload   []byte `json:"payload"`
}

// accept takes an invocation whose answer the client does not wait for.
func (a *API) accept(c *call, f Function, i function.Invocation) error {
	if len(c.body) > maxEvent {
		return requestTooLarge.about("%d byte payload is too large for the Event invocation type (limit %d bytes)", len(c.body), maxEvent)
	}
	i.Log = false
	if a.options.Queue != nil {
		if err := a.put(c, f, i); err != nil {
			return err
		}
		c.answer(http.StatusAccepted, "", nil)
		return nil
	}
	if !a.options.Held.take(held{f.Name, exchange.Detach(c.r), i, a.options.Log}) {
		return full()
	}
	c.answer(http.StatusAccepted, "", nil)
	return nil
}

func full() *apiError {
	e := tooManyRequests.about("Rate Exceeded.")
	e.reason, e.after = "ConcurrentInvocationLimitExceeded", time.Second
	return e
}

// put stores an event. If an SDK tries a call again because it did not get the answer, that does not make a second
// event.
func (a *API) put(c *call, f Function, i function.Invocation) error {
	body, err := json.Marshal(stored{i.ID, i.ClientContext, i.Qualifier, i.Payload})
	if err != nil {
		return err //nolint:wrapcheck // it always encodes
	}
	digest := sha256.Sum256(append([]byte(i.ClientContext+"\n"), i.Payload...))
	draft := queue.Draft{
		Place: queue.Place{Kind: LaneKind, Lane: f.Name}, About: "Invoke " + f.Name, Age: eventAge, Keep: queue.Keep{Ended: keptEnded, Dead: keptDead},
		Key: exchange.RequestHead(c.r).Get(retryField), Digest: hex.EncodeToString(digest[:]), Body: body,
	}
	if c.x.Identity != nil {
		draft.Owner = c.x.Identity.Subject
	}
	_, _, err = a.options.Queue.Put(c.r.Context(), draft)
	switch {
	case errors.Is(err, queue.ErrFull):
		return full()
	case errors.Is(err, queue.ErrMismatch):
		return invalidParameter.about("The invocation id of this call was that of another one.")
	case errors.Is(err, queue.ErrUnavailable):
		return fault.QueueUnavailable.New("", fault.RetryAfter(time.Second), fault.Cause(err))
	case err != nil:
		return fault.Unexpected.New("", fault.Cause(err))
	}
	return nil
}

// eventually invokes a function after the client has been answered.
func eventually(r *http.Request, invoker function.Invoker, i function.Invocation) ([]byte, error) {
	answer, err := invoker.Invoke(r, i)
	if err == nil && answer.Stream != nil {
		answer.Payload, err = io.ReadAll(io.LimitReader(answer.Stream, maxEventReply))
		if err == nil {
			_, err = io.Copy(io.Discard, answer.Stream) // to learn how it ends
		}
		_ = answer.Stream.Close() // it was read
	}
	return answer.Payload, err
}

// Lanes returns the lanes that send the events that the queue keeps, by the names of their functions.
func (a *API) Lanes() map[string]queue.Lane {
	lanes := make(map[string]queue.Lane, len(a.functions))
	for name, f := range a.functions {
		invoker, ok := f.Backend.(function.Invoker)
		if !ok {
			continue
		}
		lanes[name] = queue.Lane{
			Concurrency: eventsAtOnce, Retry: queue.Retry{Times: eventTries, First: firstPause, Most: longestPause},
			Run: func(ctx context.Context, attempt queue.Attempt) queue.Outcome {
				return a.attempt(ctx, name, invoker, attempt)
			},
		}
	}
	return lanes
}

// attempt invokes a function once for an event from the queue.
func (a *API) attempt(ctx context.Context, name string, invoker function.Invoker, attempt queue.Attempt) queue.Outcome {
	var e stored
	if err := json.Unmarshal(attempt.Body, &e); err != nil {
		return queue.Outcome{Verdict: queue.Hopeless, Reason: "it cannot be read"}
	}
	x := &exchange.Exchange{ID: e.ID, Start: time.Now(), Backend: "fn:" + name}
	r := (&http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/"}, Body: http.NoBody}).WithContext(exchange.Context(ctx, x))
	payload, err := eventually(r, invoker, function.Invocation{ID: e.ID, Payload: e.Payload, ClientContext: e.Context, Qualifier: e.Qualifier})
	o := outcome(err)
	o.Result = payload[:min(len(payload), maxEventReply)]
	if told, ok := errors.AsType[*function.Failure](err); ok {
		o.Result = told.Body
	}
	return o
}

// outcome returns the outcome of an event. A failure before the function has seen the event does not count as a try.
func outcome(err error) queue.Outcome {
	if err == nil {
		return queue.Outcome{Verdict: queue.Succeeded}
	}
	f := fault.From(err)
	o := queue.Outcome{Verdict: queue.Again, Reason: f.Title}
	if told, ok := errors.AsType[*function.Failure](err); ok {
		o.Reason = told.Error()
	}
	switch f.Code {
	case fault.FunctionBusy.Code, fault.FunctionQueueTime.Code, fault.ShuttingDown.Code, fault.Unexpected.Code:
		o.Verdict, o.After = queue.NotNow, f.RetryAfter
	case fault.FunctionTooLarge.Code:
		o.Verdict = queue.Hopeless
	}
	return o
}
