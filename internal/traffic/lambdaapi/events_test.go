package lambdaapi_test

import (
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/queue"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/traffic/lambdaapi"
)

// kept serves one function whose events are kept in a queue.
func kept(t *testing.T, answer func(*http.Request, function.Invocation) (function.Answer, error)) (*world, *queue.Queue) {
	t.Helper()
	q, err := queue.New(queue.Options{Folder: t.TempDir()})
	if err == nil {
		err = q.Open()
	}
	if err != nil {
		t.Fatal(err)
	}
	w := &world{api: lambdaapi.New(lambdaapi.Options{
		Region: "eu-west-1", Account: "000000000000", Log: slog.New(slog.DiscardHandler), Queue: q, Held: lambdaapi.NewHeld(),
		Functions: []lambdaapi.Function{{Name: "orders", Backend: &double{answer, function.Facts{Payloads: true}}}},
	})}
	q.Serve(lambdaapi.LaneKind, w.api.Lanes())
	t.Cleanup(q.Close)
	return w, q
}

// job returns the only job of q, once it satisfies is.
func job(t *testing.T, q *queue.Queue, is func(queue.Job) bool) queue.Job {
	t.Helper()
	var list []queue.Job
	await.That(t, "the event is in that state", func() bool {
		list, _ = q.List(queue.Filter{})
		return len(list) == 1 && is(list[0])
	})
	return list[0]
}

func TestAnEventIsKeptUntilItIsProcessed(t *testing.T) {
	var told atomic.Pointer[function.Invocation]
	w, q := kept(t, func(_ *http.Request, i function.Invocation) (function.Answer, error) {
		told.Store(&i)
		return function.Answer{Payload: []byte("done")}, nil
	})
	event := func(r *http.Request) {
		r.Header.Set("X-Amz-Invocation-Type", "Event")
		r.Header.Set("Amz-Sdk-Invocation-Id", "the-same")
		r.Header.Set("X-Amz-Client-Context", "eyJhIjoxfQ==")
	}
	for range 2 { // as an SDK that has not received the first answer
		if got := w.ask(t, "POST", invoke, `{"n":1}`, event); got.Code != 202 || got.Body.Len() != 0 {
			t.Fatalf("got %d %s", got.Code, got.Body)
		}
	}
	done := job(t, q, func(j queue.Job) bool { return j.State == queue.Done })
	if i := told.Load(); string(i.Payload) != `{"n":1}` || i.ClientContext != `{"a":1}` || i.ID != "01230123-0123-0123-0123-012301230123" {
		t.Errorf("the function was told %+v", i)
	}
	if result, err := q.Result(done.ID); err != nil || string(result) != "done" {
		t.Errorf("the result is %q, %v", result, err)
	}
	if got := w.ask(t, "POST", invoke, `{"n":2}`, event); got.Code != 400 || !strings.Contains(got.Body.String(), "another one") {
		t.Errorf("the id with another payload: got %d %s", got.Code, got.Body)
	}
}

func TestAFailedEventIsTriedAgainLikeAWSs(t *testing.T) {
	failed := fault.FunctionError.New("", fault.Cause(&function.Failure{Type: "OrderError", Message: "none"}))
	w, q := kept(t, failing(failed))
	w.ask(t, "POST", invoke, "{}", with("X-Amz-Invocation-Type", "Event"))
	j := job(t, q, func(j queue.Job) bool { return j.Attempts == 1 && j.State == queue.Queued })
	if j.Failures != 1 || j.Reason != "OrderError: none" || time.Until(j.Due) > time.Minute {
		t.Errorf("after the first attempt it is %+v", j)
	}
}

func TestABusyFunctionDoesNotCountAgainstAnEvent(t *testing.T) {
	w, q := kept(t, failing(fault.FunctionBusy.New("", fault.RetryAfter(time.Hour))))
	w.ask(t, "POST", invoke, "{}", with("X-Amz-Invocation-Type", "Event"))
	if j := job(t, q, func(j queue.Job) bool { return j.Attempts == 1 && j.State == queue.Queued }); j.Failures != 0 {
		t.Errorf("it is %+v", j)
	}
}

func TestAQueueThatCannotBeWrittenIsNobodysBug(t *testing.T) {
	w, q := kept(t, echo)
	q.Close()
	got := w.ask(t, "POST", invoke, "{}", with("X-Amz-Invocation-Type", "Event"))
	if got.Code != 503 || got.Header().Get("X-Amzn-Errortype") != "ServiceUnavailableException" || got.Header().Get("Retry-After") != "1" {
		t.Errorf("got %d %s %v", got.Code, got.Body, got.Header())
	}
}
