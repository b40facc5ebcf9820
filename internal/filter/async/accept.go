package async

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/queue"
)

// The header fields shared with clients and backends.
const (
	keyField      = "Idempotency-Key" // draft-ietf-httpapi-idempotency-key-header
	sdkField      = "Amz-Sdk-Invocation-Id"
	attemptField  = "Weir-Attempt"
	callbackField = "X-Callback-Url" // as OpenFaaS calls it
)

// backendName is the name in logs for the backend of an accepted request.
const backendName = "async"

// The times after which clients are told to retry.
const (
	lookAgain = time.Second
	roomAgain = 10 * time.Second
)

// RoundTrip accepts r, or passes it on to its backend if it does not ask to be accepted.
func (a *async) RoundTrip(r *http.Request) (*http.Response, error) {
	if !a.takes(r) {
		return a.next.RoundTrip(r)
	}
	res, err := a.accept(r, exchange.RequestHead(r))
	if r.Body != nil {
		_ = r.Body.Close() // it was read, or the request is refused
	}
	return res, err
}

// takes tells whether r is to be answered later.
func (a *async) takes(r *http.Request) bool {
	return !a.config.Asked || prefersAsync(exchange.RequestHead(r).Values("Prefer"))
}

func (a *async) accept(r *http.Request, head exchange.Head) (*http.Response, error) {
	x := exchange.Of(r)
	x.Backend = backendName
	if head.Get("Upgrade") != "" {
		return nil, fault.UpgradeRefused.New("What is answered later has no connection to switch.")
	}
	body, err := a.read(r)
	if err != nil {
		return nil, err
	}
	callback, err := a.callback(head)
	if err != nil {
		return nil, err
	}
	end := traced(x, r, head)
	job, err := a.put(r, x, head, body, callback)
	if err != nil {
		end(exchange.Attempt{Err: err})
		return nil, err
	}
	end(exchange.Attempt{Status: http.StatusAccepted})
	x.Job = job.ID
	return a.accepted(r, job), nil
}

// traced begins the span for storing the job, and sets it in r's head as the parent of the attempts.
func traced(x *exchange.Exchange, r *http.Request, head exchange.Head) func(exchange.Attempt) {
	if x.Trace == nil {
		return func(exchange.Attempt) {}
	}
	return x.Trace.Call(exchange.Call{Method: r.Method, Backend: backendName, Head: head})
}

// read reads the whole body.
func (a *async) read(r *http.Request) ([]byte, error) {
	most := int64(a.config.Body)
	body, err := exchange.ReadBody(r, most)
	if errors.Is(err, exchange.ErrTooLong) {
		err = fault.BodyTooLarge.New("A request that is answered later may have at most " + strconv.FormatInt(most, 10) + " bytes.")
	}
	return body, err //nolint:wrapcheck // the proxy knows what it means
}

// put makes a request a job.
func (a *async) put(r *http.Request, x *exchange.Exchange, head exchange.Head, body []byte, callback string) (queue.Job, error) {
	stored, err := pack(storedOf(r, x, head, callback), body)
	if err != nil {
		return queue.Job{}, fault.Unexpected.New("", fault.Cause(err))
	}
	d := queue.Draft{
		Place: a.place, Owner: ownerOf(x), About: r.Method + " " + x.Path, Age: a.config.Age,
		Keep: queue.Keep{Ended: a.config.Keep, Dead: a.config.KeepDead}, Most: a.config.Queue, Body: stored,
	}
	if key := keyOf(head); key != "" {
		d.Key, d.Digest = digest(key, unnamed(x, head)), digest(r.Method, r.Host, r.URL.RequestURI(), head.Get("Content-Type"), string(body))
	}
	job, again, err := a.queue.Put(r.Context(), d)
	switch {
	case err == nil:
		if !again {
			a.taken.Inc()
		}
		return job, nil
	case errors.Is(err, queue.ErrFull):
		return job, fault.QueueFull.New("", fault.RetryAfter(roomAgain), fault.Cause(err))
	case errors.Is(err, queue.ErrMismatch):
		return job, fault.KeyReused.New("")
	case errors.Is(err, queue.ErrUnavailable):
		return job, fault.QueueUnavailable.New("", fault.RetryAfter(lookAgain), fault.Cause(err))
	default:
		return job, err // the client has gone
	}
}

// ownerOf returns the caller that may ask for the job, or "" if anyone who knows its id may.
func ownerOf(x *exchange.Exchange) string {
	if x.Identity == nil {
		return ""
	}
	return x.Identity.ID()
}

// longestKey bounds a key, because it is sent to the backend, too.
const longestKey = 255

// keyOf returns the key that identifies a repeated request, "" if it has none.
func keyOf(head exchange.Head) string {
	for _, name := range []string{keyField, sdkField} {
		if key := head.Get(name); key != "" && len(key) <= longestKey {
			return key
		}
	}
	return ""
}

// unnamed distinguishes callers that the gateway does not identify: no caller gets another caller's job because both
// have chosen the same key.
func unnamed(x *exchange.Exchange, head exchange.Head) string {
	if x.Identity != nil {
		return ""
	}
	return digest(head.Get("Authorization"), strings.Join(head.Values("Cookie"), "; "))
}

// digest returns a hash of several texts. Each is hashed with its length, so that different lists have different input.
func digest(texts ...string) string {
	sum := sha256.New()
	for _, t := range texts {
		_, _ = sum.Write([]byte(strconv.Itoa(len(t)) + ":" + t)) // never fails (hash.Hash)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// prefersAsync tells whether a client would rather not wait (RFC 7240 section 4.1).
func prefersAsync(lines []string) bool {
	for _, line := range lines {
		for preference := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(preference, ";")
			if strings.EqualFold(strings.TrimSpace(name), "respond-async") {
				return true
			}
		}
	}
	return false
}

// accepted is the response for a new job.
func (a *async) accepted(r *http.Request, job queue.Job) *http.Response {
	href := a.path + job.ID
	fields := []exchange.Field{
		{Name: "Location", Value: href}, {Name: "Retry-After", Value: strconv.Itoa(int(lookAgain.Seconds()))}, {Name: "Cache-Control", Value: "no-store"},
	}
	if prefersAsync(exchange.RequestHead(r).Values("Prefer")) {
		fields = append(fields, exchange.Field{Name: "Preference-Applied", Value: "respond-async"})
	}
	return respond(r, http.StatusAccepted, struct {
		ID     string      `json:"id"`
		Status queue.State `json:"status"`
		Href   string      `json:"href"`
	}{job.ID, job.State, href}, fields...)
}

// respond answers with JSON.
func respond(r *http.Request, code int, value any, fields ...exchange.Field) *http.Response {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	_ = e.Encode(value) // plain structs encode
	fields = append(fields,
		exchange.Field{Name: "Content-Type", Value: "application/json"}, exchange.Field{Name: "Content-Length", Value: strconv.Itoa(text.Len())},
		exchange.Field{Name: "X-Content-Type-Options", Value: "nosniff"})
	res := exchange.NewResponse(r, code, fields...)
	res.ContentLength = int64(text.Len())
	if r.Method != http.MethodHead {
		res.Body = io.NopCloser(&text)
	}
	return res
}
