package async

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/queue"
)

// status answers requests for a job of the route, behind the route's guards.
type status struct{ *async }

// RoundTrip implements http.RoundTripper: GET returns the job's status, DELETE cancels it.
func (s status) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close() // nothing is read from it
	}
	x := exchange.Of(r)
	x.Backend = backendName
	id, _ := x.Params.Get(jobParam)
	job, err := s.mine(r.Context(), x, id)
	if err == nil && r.Method == http.MethodDelete {
		job, err = s.queue.Cancel(r.Context(), id)
	}
	if err != nil {
		return nil, asFault(err)
	}
	x.Job = id
	told, err := s.told(job)
	if err != nil {
		return nil, asFault(err)
	}
	code := http.StatusOK
	fields := []exchange.Field{{Name: "Cache-Control", Value: "no-store"}}
	if !job.State.Ended() {
		fields = append(fields, exchange.Field{Name: "Retry-After", Value: strconv.Itoa(int(lookAgain.Seconds()))})
		if r.Method == http.MethodDelete { // it is running, and was told to stop
			code = http.StatusAccepted
		}
	}
	return respond(r, code, told, fields...), nil
}

// mine returns the job with that id, if it belongs to the caller. It does not reveal whether a job of another caller
// exists.
func (a *async) mine(ctx context.Context, x *exchange.Exchange, id string) (queue.Job, error) {
	job, err := a.queue.Get(ctx, id)
	if err != nil {
		return job, err
	}
	if job.Place != a.place || job.Purpose != "" || job.Owner != "" && job.Owner != ownerOf(x) {
		return queue.Job{}, queue.ErrUnknown
	}
	return job, nil
}

// asFault returns the answer if a job's status cannot be returned.
func asFault(err error) error {
	switch {
	case errors.Is(err, queue.ErrUnknown):
		return fault.JobNotFound.New("")
	case errors.Is(err, queue.ErrState):
		return fault.JobState.New("It has ended.")
	case errors.Is(err, queue.ErrUnavailable):
		return fault.QueueUnavailable.New("", fault.RetryAfter(lookAgain), fault.Cause(err))
	default:
		return err
	}
}

// told is the status of a job, as its owner sees it.
type told struct {
	ID       string      `json:"id"`
	Status   queue.State `json:"status"`
	Href     string      `json:"href"`
	Created  time.Time   `json:"created"`
	Attempts int         `json:"attempts"`
	Started  time.Time   `json:"started,omitzero"`
	Ended    time.Time   `json:"ended,omitzero"`
	// Next is the time of the next attempt, Expires when attempts end, and Until when the job is forgotten.
	Next    time.Time `json:"next,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	Until   time.Time `json:"until,omitzero"`
	Reason  string    `json:"reason,omitempty"`
	Result  *result   `json:"result,omitempty"`
}

// result is the backend's response: the last one, if there were several.
type result struct {
	Status  int                 `json:"status"`
	Headers map[string][]string `json:"headers"`
	// Body is text, or base64 if it is not UTF-8.
	Body      string `json:"body"`
	Base64    bool   `json:"base64,omitempty"`
	Truncated bool   `json:"truncated,omitempty"`
}

func (a *async) told(job queue.Job) (told, error) {
	t := told{
		ID: job.ID, Status: job.State, Href: a.path + job.ID, Created: job.Created, Attempts: job.Attempts,
		Started: job.Started, Ended: job.Ended, Until: job.Until, Reason: job.Reason,
	}
	if !job.State.Ended() {
		t.Expires = job.Expires
	}
	if job.State == queue.Queued {
		t.Next = job.Due
	}
	if !job.State.Ended() || !job.HasResult {
		return t, nil
	}
	raw, err := a.queue.Result(job.ID)
	if err != nil || raw == nil {
		return t, err
	}
	t.Result, err = resultOf(raw)
	return t, err
}

// resultOf reads a stored response.
func resultOf(raw []byte) (*result, error) {
	var kept answer
	body, err := unpack(raw, &kept)
	if err == nil && len(kept.Head)%2 != 0 {
		err = errCut
	}
	if err != nil {
		return nil, fault.Unexpected.New("", fault.Internal("what is kept of an answer cannot be read"), fault.Cause(err))
	}
	r := &result{Status: kept.Status, Headers: map[string][]string{}, Truncated: kept.Cut}
	for i := 0; i < len(kept.Head); i += 2 {
		name := http.CanonicalHeaderKey(kept.Head[i])
		r.Headers[name] = append(r.Headers[name], kept.Head[i+1])
	}
	if r.Body = string(body); !utf8.Valid(body) {
		r.Body, r.Base64 = base64.StdEncoding.EncodeToString(body), true
	}
	return r, nil
}

// recall gives an exchange about a job the path parameters of its original request, before any guard runs, so that the
// guards find them in the path.
func (a *async) recall(r *http.Request) {
	x := exchange.Of(r)
	id, _ := x.Params.Get(jobParam)
	job, err := a.queue.Get(r.Context(), id)
	if err != nil || job.Place != a.place || job.Purpose != "" {
		return // the guards find nothing, and a caller that passes them gets the error
	}
	body, err := a.queue.Body(id)
	if err != nil {
		return
	}
	s, _, err := unpackRequest(body)
	if err != nil {
		return
	}
	for _, p := range s.Params {
		if p[0] != jobParam {
			x.Params.Add(p[0], p[1])
		}
	}
}
