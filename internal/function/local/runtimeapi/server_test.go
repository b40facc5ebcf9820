package runtimeapi_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function/local/runtimeapi"
	"github.com/weir-gateway/weir/internal/function/local/telemetryapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const base = "/2018-06-01/runtime"

var errEnded = fault.FunctionCrashed.New("", fault.Internal("signal: killed"))

// runtime is the client's side: what a function's runtime sends.
type runtime struct {
	t      *testing.T
	server *runtimeapi.Server
	client *http.Client
}

func listen(t *testing.T) *runtime { t.Helper(); return listenFor(t, 1) }

// listenFor starts a server whose instance may have most invocations at once.
func listenFor(t *testing.T, most int) *runtime {
	t.Helper()
	server, err := runtimeapi.Listen(slog.New(slog.DiscardHandler), runtimeapi.About{Name: "orders", Version: "$LATEST", Handler: "bootstrap"}, most,
		telemetryapi.New(telemetryapi.About{Name: "orders", Version: "$LATEST", Init: "on-demand"}, slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(func() {
		server.Close(errEnded)
		transport.CloseIdleConnections()
	})
	return &runtime{t, server, &http.Client{Transport: transport}}
}

func (r *runtime) do(method, path string, header http.Header, body io.Reader, trailer http.Header) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://"+r.server.Address()+base+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	req.Trailer = trailer
	res, err := r.client.Do(req)
	if err != nil {
		return nil, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	text, _ := io.ReadAll(res.Body)
	return res, string(text)
}

// post gives the status of a post, 0 where the connection was lost.
func (r *runtime) post(path, body string) int {
	r.t.Helper()
	res, _ := r.do(http.MethodPost, path, nil, strings.NewReader(body), nil)
	if res == nil {
		return 0
	}
	return res.StatusCode
}

// get gives the status of a question, 0 where the connection was lost.
func (r *runtime) get(path string) int {
	r.t.Helper()
	res, _ := r.do(http.MethodGet, path, nil, nil, nil)
	if res == nil {
		return 0
	}
	return res.StatusCode
}

// counted is an invocation that counts what it is told.
type counted struct {
	*runtimeapi.Invocation
	answered, settled atomic.Int32
}

func invocation(id string) *counted {
	c := &counted{Invocation: runtimeapi.NewInvocation(id, "arn:f", "Root=1", []byte(`{"n":1}`), time.UnixMilli(1700000000123))}
	c.Answered = func() { c.answered.Add(1) }
	c.Settled = func() { c.settled.Add(1) }
	return c
}

// deliver hands an invocation over to a runtime that asks for it.
func (r *runtime) deliver(c *counted) *http.Response {
	r.t.Helper()
	failed := make(chan error, 1)
	go func() { failed <- r.server.Invoke(r.t.Context(), c.Invocation) }()
	res, text := r.do(http.MethodGet, "/invocation/next", nil, nil, nil)
	if err := <-failed; err != nil || res == nil || text != `{"n":1}` {
		r.t.Fatalf("the runtime got %v %q, %v", res, text, err)
	}
	return res
}

func (r *runtime) result(c *counted) runtimeapi.Result {
	r.t.Helper()
	return await.From(r.t, "a result", c.Result())
}

func wantFault(t *testing.T, err error, kind fault.Kind, internal string) {
	t.Helper()
	var f *fault.Fault
	if !errors.As(err, &f) || f.Code != kind.Code || !strings.Contains(f.Operator(), internal) {
		t.Errorf("the error is %v, want %s with %q", err, kind.Code, internal)
	}
}

func TestAnInvocationGoesRound(t *testing.T) {
	r := listen(t)
	select {
	case <-r.server.Ready():
		t.Error("it is ready before it was asked")
	default:
	}
	first, second := invocation("id-1"), invocation("id-2")
	head := r.deliver(first).Header
	<-r.server.Ready()
	for name, want := range map[string]string{
		"Lambda-Runtime-Aws-Request-Id": "id-1", "Lambda-Runtime-Deadline-Ms": "1700000000123",
		"Lambda-Runtime-Invoked-Function-Arn": "arn:f", "Lambda-Runtime-Trace-Id": "Root=1",
	} {
		if got := head.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	res, text := r.do(http.MethodPost, "/invocation/id-1/response", http.Header{"Content-Type": {"application/json"}}, strings.NewReader(`"ok"`), nil)
	if res.StatusCode != http.StatusAccepted || text != `{"status":"OK"}` {
		t.Errorf("the answer was taken with %d %s, want exactly 202", res.StatusCode, text)
	}
	if got := r.result(first); string(got.Payload) != `"ok"` || got.ContentType != "application/json" || got.Err != nil {
		t.Errorf("the result is %+v", got)
	}
	if first.answered.Load() != 1 || first.settled.Load() != 0 {
		t.Error("it is settled before the runtime asks for the next one")
	}
	r.deliver(second)
	if first.settled.Load() != 1 {
		t.Error("it is not settled although the runtime asked for the next one")
	}
}

func TestWhatDoesNotFitTheStateIsRefused(t *testing.T) {
	r := listen(t)
	if got := r.post("/invocation/id/response", "x"); got != 400 {
		t.Errorf("an answer to nothing got %d, want 400", got)
	}
	c := invocation("id-1")
	r.deliver(c)
	if res, _ := r.do(http.MethodGet, "/invocation/next", nil, nil, nil); res.StatusCode != http.StatusForbidden {
		t.Errorf("next before an answer got %d, want 403", res.StatusCode)
	}
	for _, step := range []struct {
		path string
		want int
	}{
		{"/invocation/other/response", 400}, {"/invocation/other/error", 400}, {"/init/error", 403},
		{"/invocation/id-1/response", 202}, {"/invocation/id-1/response", 403}, {"/invocation/id-1/error", 403}, {"/nothing", 404},
	} {
		if got := r.post(step.path, "{}"); got != step.want {
			t.Errorf("%s got %d, want %d", step.path, got, step.want)
		}
	}
}

func TestErrorsAreFaultsThatTellOnlyOperators(t *testing.T) {
	r := listen(t)
	for i, body := range []string{`{"errorType":"OrderError","errorMessage":"no such order"}`, `OrderError: no such order`} {
		c := invocation("id" + strconv.Itoa(i))
		r.deliver(c)
		if got := r.post("/invocation/"+c.ID+"/error", body); got != 202 {
			t.Errorf("the error was taken with %d, want 202", got)
		}
		err := r.result(c).Err
		wantFault(t, err, fault.FunctionError, "OrderError: no such order")
		if fault.From(err).Detail != "" {
			t.Error("the client is told a detail")
		}
	}
}

func TestAnErrorMayFollowAWholeAnswerAsATrailer(t *testing.T) {
	r := listen(t)
	c := invocation("id-1")
	r.deliver(c)
	trailer := http.Header{"Lambda-Runtime-Function-Error-Type": {"Midway"}, "Lambda-Runtime-Function-Error-Body": {"eyJlcnJvck1lc3NhZ2UiOiJvb3BzIn0="}}
	res, _ := r.do(http.MethodPost, "/invocation/id-1/response", nil, io.MultiReader(strings.NewReader("half")), trailer)
	if res.StatusCode != http.StatusAccepted {
		t.Errorf("got %d, want 202", res.StatusCode)
	}
	wantFault(t, r.result(c).Err, fault.FunctionError, "Midway: oops")
}

func TestAnAnswerMayHaveSixMebibytesAndNoMore(t *testing.T) {
	r := listen(t)
	for _, test := range []struct{ size, want int }{{runtimeapi.MaxPayload, 202}, {runtimeapi.MaxPayload + 101, 413}} {
		c := invocation("id" + strconv.Itoa(test.size))
		r.deliver(c)
		if got := r.post("/invocation/"+c.ID+"/response", strings.Repeat("x", test.size)); got != test.want {
			t.Errorf("%d bytes got %d, want %d", test.size, got, test.want)
		}
		result := r.result(c)
		if test.want == 202 && (result.Err != nil || len(result.Payload) != test.size) {
			t.Errorf("the result has %d bytes, %v", len(result.Payload), result.Err)
		}
		if test.want == 413 {
			wantFault(t, result.Err, fault.FunctionBadResponse, "larger than")
		}
	}
}

var streaming = http.Header{"Lambda-Runtime-Function-Response-Mode": {"streaming"}}

func TestAStreamIsReadWhileItIsWritten(t *testing.T) {
	r := listen(t)
	c := invocation("id-1")
	r.deliver(c)
	body, w := io.Pipe()
	status := make(chan int, 1)
	go func() {
		res, _ := r.do(http.MethodPost, "/invocation/id-1/response", streaming, body, nil)
		status <- res.StatusCode
	}()
	_, _ = io.WriteString(w, "one")
	stream := r.result(c).Stream
	piece := make([]byte, 3)
	if _, err := io.ReadFull(stream, piece); err != nil || string(piece) != "one" {
		t.Errorf("got %q, %v", piece, err)
	}
	if c.answered.Load() != 0 {
		t.Error("it counts as answered before its end")
	}
	_, _ = io.WriteString(w, "two")
	_ = w.Close()
	if rest, err := io.ReadAll(stream); err != nil || string(rest) != "two" {
		t.Errorf("got %q, %v", rest, err)
	}
	if got := <-status; got != 202 || c.answered.Load() != 1 {
		t.Errorf("it was taken with %d, answered %d times", got, c.answered.Load())
	}
}

func TestAStreamThatNobodyReadsIsTakenToItsEnd(t *testing.T) {
	for name, leave := range map[string]func(r *runtime, c *counted){
		"closed":           func(r *runtime, c *counted) { _ = r.result(c).Stream.Close() },
		"abandoned":        func(_ *runtime, c *counted) { c.Abandon() },
		"abandoned before": nil,
	} {
		t.Run(name, func(t *testing.T) {
			r := listen(t)
			c := invocation("id-1")
			r.deliver(c)
			if leave == nil {
				c.Abandon()
			}
			status := make(chan int, 1)
			go func() {
				res, _ := r.do(http.MethodPost, "/invocation/id-1/response", streaming, strings.NewReader(strings.Repeat("x", 1<<20)), nil)
				status <- res.StatusCode
			}()
			if leave != nil {
				leave(r, c)
			}
			if got := <-status; got != 202 {
				t.Errorf("it was taken with %d, want 202", got)
			}
		})
	}
}

func TestAnAbortedStreamEndsWithItsCause(t *testing.T) {
	r := listen(t)
	c := invocation("id-1")
	r.deliver(c)
	body, w := io.Pipe()
	posted := make(chan struct{})
	go func() {
		defer close(posted)
		r.do(http.MethodPost, "/invocation/id-1/response", streaming, body, nil)
	}()
	_, _ = io.WriteString(w, "one")
	stream := r.result(c).Stream
	c.Abort(fault.FunctionTimeout.New(""))
	r.server.Close(errEnded) // what follows an abort: the process is killed
	_, err := io.ReadAll(stream)
	wantFault(t, err, fault.FunctionTimeout, "")
	_ = w.Close()
	<-posted
	if c.settled.Load() != 0 {
		t.Error("an aborted invocation was settled")
	}
}

func TestTheEndOfTheInstanceIsTheResult(t *testing.T) {
	r := listen(t)
	c := invocation("id-1")
	r.deliver(c)
	r.server.Close(errEnded)
	wantFault(t, r.result(c).Err, fault.FunctionCrashed, "signal: killed")
	wantFault(t, r.server.Invoke(t.Context(), invocation("id-2").Invocation), fault.FunctionCrashed, "signal: killed")
}

func TestAnInvocationWaitsUntilTheRuntimeAsksOrTheClientLeaves(t *testing.T) {
	r := listen(t)
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if err := r.server.Invoke(ctx, invocation("id-1").Invocation); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v, want the client's", err)
	}
	c := invocation("id-2")
	c.Abort(fault.FunctionTimeout.New(""))
	wantFault(t, r.server.Invoke(t.Context(), c.Invocation), fault.FunctionTimeout, "")
}

func TestEachQuestionIsAPlace(t *testing.T) {
	r := listenFor(t, 2)
	first, second := invocation("id-1"), invocation("id-2")
	r.deliver(first)
	select {
	case <-r.server.Full():
		t.Error("it is full after one question")
	default:
	}
	r.deliver(second)
	await.From(t, "it is full", r.server.Full())
	if n := r.server.Places(); n != 2 {
		t.Errorf("there are %d places, want 2", n)
	}
	if status := r.get("/invocation/next"); status != http.StatusForbidden {
		t.Errorf("a third question got %d, want 403", status)
	}
	if status := r.post("/invocation/id-2/response", `"two"`); status != http.StatusAccepted {
		t.Errorf("the second answer got %d", status)
	}
	third := invocation("id-3")
	r.deliver(third) // by a question that ends the second, for the first was not answered
	if first.settled.Load() != 0 || second.settled.Load() != 1 {
		t.Errorf("settled: %d, %d; want the second alone", first.settled.Load(), second.settled.Load())
	}
	r.server.Close(errEnded)
	wantFault(t, r.result(first).Err, fault.FunctionCrashed, "signal: killed")
	wantFault(t, r.result(third).Err, fault.FunctionCrashed, "signal: killed")
	if got := string(r.result(second).Payload); got != `"two"` {
		t.Errorf("the second answer is %s", got)
	}
}

func TestAQuestionThatIsGivenUpIsNoPlace(t *testing.T) {
	r := listenFor(t, 2)
	for range 3 {
		ctx, leave := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.server.Address()+base+"/invocation/next", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		left := make(chan struct{})
		go func() {
			defer close(left)
			if res, err := r.client.Do(req); err == nil {
				_ = res.Body.Close()
			}
		}()
		await.From(t, "it asks", r.server.Ready())
		leave()
		<-left
	}
	if n := r.server.Places(); n > 2 {
		t.Errorf("there are %d places, want at most 2", n)
	}
}

func TestAnInitErrorIsKept(t *testing.T) {
	r := listen(t)
	header := http.Header{"Lambda-Runtime-Function-Error-Type": {"Runtime.ImportModuleError"}}
	if res, _ := r.do(http.MethodPost, "/init/error", header, strings.NewReader(`{"errorMessage":"no such module"}`), nil); res.StatusCode != http.StatusAccepted {
		t.Errorf("got %d, want 202", res.StatusCode)
	}
	if got := r.server.InitError(); got == nil || got.Error() != "Runtime.ImportModuleError: no such module" {
		t.Errorf("it is %q", got)
	}
}

func TestAnotherHostIsRefused(t *testing.T) {
	r := listen(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.server.Address()+base+"/invocation/next", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("got %d, want 403", res.StatusCode)
	}
}
