package async

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/base/queue"
	"github.com/weir-gateway/weir/internal/filter"
)

// The purposes of a job; "": its request is sent.
const (
	toCallBack = "callback"
	toMourn    = "dead letter"
)

// run makes an attempt for a job of the route.
func (a *async) run(ctx context.Context, at queue.Attempt, spans filter.Spans) queue.Outcome {
	ctx, cancel := context.WithTimeout(ctx, a.config.Timeout)
	defer cancel()
	switch at.Job.Purpose {
	case toCallBack:
		return a.callBack(ctx, at)
	case toMourn:
		return a.mourn(ctx, at)
	}
	s, body, err := unpackRequest(at.Body)
	if err != nil {
		return queue.Outcome{Verdict: queue.Hopeless, Reason: "what is stored of it cannot be read: " + err.Error()}
	}
	r, x, err := s.request(ctx, body)
	if err != nil {
		return queue.Outcome{Verdict: queue.Hopeless, Reason: "what is stored of it cannot be read: " + err.Error()}
	}
	x.Route, x.Job = at.Job.Lane, at.Job.ID
	head := exchange.RequestHead(r)
	head.Set(attemptField, strconv.Itoa(at.Job.Attempts))
	if head.Get(keyField) == "" {
		head.Set(keyField, at.Job.ID)
	}
	spans.Begin(r, x)
	o, outcome := a.send(r, x)
	x.End(outcome)
	spans.End(r, x, outcome)
	a.tell(x, at, o, outcome)
	return o
}

// send sends the request, and returns the outcome for the queue and for done hooks.
func (a *async) send(r *http.Request, x *exchange.Exchange) (queue.Outcome, exchange.Outcome) {
	if a.later.Tell != nil && x.Identity != nil {
		if f := a.later.Tell(r); f != nil {
			return ofFault(f), exchange.Outcome{Status: f.Status, Err: f, Took: time.Since(x.Start)}
		}
	}
	res, err := a.next.RoundTrip(r)
	if err == nil && res.StatusCode == http.StatusSwitchingProtocols {
		_ = res.Body.Close() // there is no client to talk to
		err = fault.BackendInvalid.New("", fault.Internal("status 101 to a request that asked for no upgrade"))
	}
	if err != nil {
		return ofError(r.Context(), err), exchange.Outcome{Err: err, Took: time.Since(x.Start)}
	}
	o, n, err := a.ofResponse(r, res)
	return o, exchange.Outcome{Status: res.StatusCode, Written: n, Err: err, Took: time.Since(x.Start)}
}

// ofResponse stores the response, and returns what it means for the job.
func (a *async) ofResponse(r *http.Request, res *http.Response) (o queue.Outcome, n int64, err error) {
	defer func() { _ = res.Body.Close() }() // it was read, or the rest is dropped
	most := int64(a.config.Result)
	body, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	n = int64(len(body))
	if err != nil {
		return ofError(r.Context(), err), n, err
	}
	kept := answer{Status: res.StatusCode, Cut: n > most}
	head := exchange.NewHead(r)
	forward.Response(head, exchange.ResponseHead(res))
	for name, value := range head.All() {
		if !strings.EqualFold(name, "Content-Length") {
			kept.Head = append(kept.Head, name, value)
		}
	}
	o = ofStatus(res.StatusCode, retryAfter(exchange.ResponseHead(res).Get("Retry-After"), time.Now()))
	if o.Result, err = pack(kept, body[:min(n, most)]); err != nil {
		o.Result = nil // a head of texts encodes
	}
	return o, n, nil
}

// ofStatus returns what a status means for a job.
func ofStatus(status int, after time.Duration) queue.Outcome {
	reason := "status " + strconv.Itoa(status)
	switch {
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		return queue.Outcome{Verdict: queue.NotNow, After: after, Reason: reason}
	case status >= 500 || status == http.StatusRequestTimeout || status == http.StatusTooEarly:
		return queue.Outcome{Verdict: queue.Again, After: after, Reason: reason}
	case status >= 400:
		return queue.Outcome{Verdict: queue.Refused, Reason: reason}
	default:
		return queue.Outcome{Verdict: queue.Succeeded}
	}
}

// ofError returns what a missing or incomplete response means for a job. If certainly nothing was sent, the backend was
// not available, which does not count against the job.
func ofError(ctx context.Context, err error) queue.Outcome {
	if cause := context.Cause(ctx); cause != nil {
		reason := cause.Error()
		if errors.Is(cause, context.DeadlineExceeded) {
			reason = "it took longer than async.timeout"
		}
		return queue.Outcome{Verdict: queue.Again, Reason: reason}
	}
	if f, ok := errors.AsType[*fault.Fault](err); ok {
		return ofFault(f)
	}
	if unsent, ok := errors.AsType[*exchange.SendError](err); ok {
		o := ofFault(unsent.Fault())
		if unsent.Unprocessed() {
			o.Verdict = queue.NotNow
		}
		return o
	}
	return queue.Outcome{Verdict: queue.Again, Reason: "the backend's answer broke off"}
}

// ofFault returns what a fault means for a job. Its code is included: anyone who may ask for the job may know it.
func ofFault(f *fault.Fault) queue.Outcome {
	o := ofStatus(f.Status, f.RetryAfter)
	o.Reason = f.Code
	if f.Code == fault.BackendUnreachable.Code {
		o.Verdict = queue.NotNow
	}
	return o
}

// longestPause bounds the pause that a backend may ask for.
const longestPause = time.Hour

// retryAfter reads seconds or a date (RFC 9110 section 10.2.3); 0 if there is none.
func retryAfter(text string, now time.Time) time.Duration {
	if text == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, longestPause)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), longestPause)
}

// tell logs an attempt.
func (a *async) tell(x *exchange.Exchange, at queue.Attempt, o queue.Outcome, outcome exchange.Outcome) {
	attributes := []any{"job", at.Job.ID, "route", at.Job.Lane, "attempt", at.Job.Attempts, "took", outcome.Took, "request_id", x.RequestID()}
	if outcome.Status > 0 {
		attributes = append(attributes, "status", outcome.Status)
	}
	if n := len(x.Attempts); n > 0 {
		attributes = append(attributes, "endpoint", x.Attempts[n-1].Endpoint)
	}
	if o.Reason != "" {
		attributes = append(attributes, "reason", o.Reason)
	}
	if outcome.Err != nil {
		attributes = append(attributes, "cause", outcome.Err)
	}
	if x.Trace != nil {
		attributes = append(attributes, "trace_id", x.Trace.ID())
	}
	if o.Verdict == queue.Again || o.Verdict == queue.Hopeless {
		a.log.Warn("attempt", attributes...)
		return
	}
	a.log.Info("attempt", attributes...)
}

// post sends JSON to a receiver of a job's end.
func post(ctx context.Context, at queue.Attempt, to http.RoundTripper, r *http.Request, body []byte) queue.Outcome {
	x := &exchange.Exchange{ID: at.Job.ID, Job: at.Job.ID, Start: time.Now(), Host: r.URL.Hostname(), Path: r.URL.EscapedPath(), Client: exchange.Client{Scheme: r.URL.Scheme}}
	r = r.WithContext(exchange.Context(ctx, x))
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	res, err := to.RoundTrip(r)
	defer func() { x.End(exchange.Outcome{Err: err}) }()
	if err != nil {
		o := ofError(ctx, err)
		o.Reason = cmp.Or(o.Reason, "it could not be sent")
		return o
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, mostTold)) // its content does not matter
	_ = res.Body.Close()
	o := ofStatus(res.StatusCode, retryAfter(exchange.ResponseHead(res).Get("Retry-After"), time.Now()))
	if res.StatusCode >= 300 && res.StatusCode < 500 && o.Verdict != queue.NotNow {
		o = queue.Outcome{Verdict: queue.Again, Reason: fmt.Sprintf("status %d", res.StatusCode)} // redirects are not followed
	}
	return o
}

// mostTold is how much of the response to a callback is read.
const mostTold = 64 << 10
