package runtimeapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/function/local/runtimeapi"
)

// agent is an extension's side of the API.
type agent struct {
	*runtime

	id string
}

func (a *agent) call(method, path, body string, fields ...string) (*http.Response, string) {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, "http://"+a.server.Address()+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	if a.id != "" {
		req.Header.Set("Lambda-Extension-Identifier", a.id)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	res, err := a.client.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return res, string(text)
}

// register registers an extension for events, a JSON list.
func register(t *testing.T, r *runtime, name, events string) *agent {
	t.Helper()
	a := &agent{runtime: r}
	res, text := a.call(http.MethodPost, "/2020-01-01/extension/register", `{"events":`+events+`}`, "Lambda-Extension-Name", name)
	a.id = res.Header.Get("Lambda-Extension-Identifier")
	if res.StatusCode != http.StatusOK || a.id == "" || text != `{"functionName":"orders","functionVersion":"$LATEST","handler":"bootstrap"}` {
		t.Fatalf("registering got %d %q %s", res.StatusCode, a.id, text)
	}
	return a
}

// event is what an extension fetches.
type event struct {
	EventType, RequestID, InvokedFunctionArn, ShutdownReason string
	DeadlineMs                                               int64
	Tracing                                                  struct{ Type, Value string }
}

func (a *agent) next() event {
	a.t.Helper()
	res, text := a.call(http.MethodGet, "/2020-01-01/extension/event/next", "")
	var e event
	if err := json.Unmarshal([]byte(text), &e); err != nil || res.StatusCode != http.StatusOK {
		a.t.Fatalf("got %d %s", res.StatusCode, text)
	}
	return e
}

func TestAnExtensionIsToldOfEachInvocationAndOfTheEnd(t *testing.T) {
	r := listenFor(t, 2)
	a := register(t, r, "agent", `["INVOKE","SHUTDOWN"]`)
	other := register(t, r, "ends-only", `["SHUTDOWN"]`)
	asked := make(chan event, 1)
	go func() { asked <- a.next() }() // before there is anything
	r.deliver(invocation("id-1"))
	r.deliver(invocation("id-2"))
	first, second := await.From(t, "the first event", asked), a.next()
	if first.EventType != "INVOKE" || first.RequestID != "id-1" || first.InvokedFunctionArn != "arn:f" || first.DeadlineMs != 1700000000123 ||
		first.Tracing.Type != "X-Amzn-Trace-Id" || first.Tracing.Value != "Root=1" || second.RequestID != "id-2" {
		t.Errorf("the events are %+v and %+v", first, second)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		r.server.Farewell(ctx)
	}()
	for _, one := range []*agent{a, other} {
		if e := one.next(); e.EventType != "SHUTDOWN" || e.ShutdownReason != "SPINDOWN" || e.DeadlineMs <= time.Now().UnixMilli() {
			t.Errorf("the event is %+v", e)
		}
		go func() { // it has done what it had to
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.server.Address()+"/2020-01-01/extension/event/next", http.NoBody)
			req.Header.Set("Lambda-Extension-Identifier", one.id)
			if res, err := r.client.Do(req); err == nil {
				_ = res.Body.Close()
			}
		}()
	}
	await.From(t, "the end, once both have asked again", ended)
}

func TestTheEndWaitsNoLongerThanItMay(t *testing.T) {
	r := listen(t)
	register(t, r, "silent", `["SHUTDOWN"]`)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	r.server.Farewell(ctx)
	if ctx.Err() == nil {
		t.Error("it did not wait for the extension")
	}
	without := listen(t)
	without.server.Farewell(t.Context()) // returns
}

func TestExtensionsThatAreNotUnderstoodAreRefused(t *testing.T) {
	r := listen(t)
	nobody := &agent{runtime: r}
	for _, test := range []struct {
		method, path, body string
		fields             []string
		status             int
		kind               string
	}{
		{http.MethodPost, "/2020-01-01/extension/register", `{"events":[]}`, nil, 400, "InvalidRequestFormat"},
		{http.MethodPost, "/2020-01-01/extension/register", `{"events":["SLEEP"]}`, []string{"Lambda-Extension-Name", "x"}, 400, "InvalidRequestFormat"},
		{http.MethodPost, "/2020-01-01/extension/register", `{"events":7}`, []string{"Lambda-Extension-Name", "x"}, 400, "InvalidRequestFormat"},
		{http.MethodGet, "/2020-01-01/extension/event/next", "", nil, 403, "Extension.InvalidExtensionIdentifier"},
		{http.MethodPost, "/2020-01-01/extension/init/error", "{}", nil, 403, "Extension.InvalidExtensionIdentifier"},
		{http.MethodPut, "/2022-07-01/telemetry", "{}", nil, 403, "Extension.InvalidExtensionIdentifier"},
	} {
		if res, text := nobody.call(test.method, test.path, test.body, test.fields...); res.StatusCode != test.status || !strings.Contains(text, test.kind) {
			t.Errorf("%s %s: got %d %s, want %d %s", test.path, test.body, res.StatusCode, text, test.status, test.kind)
		}
	}
	register(t, r, "agent", `[]`)
	again := func(name string) (*http.Response, string) {
		return nobody.call(http.MethodPost, "/2020-01-01/extension/register", "", "Lambda-Extension-Name", name)
	}
	if res, text := again("agent"); res.StatusCode != 403 || !strings.Contains(text, "registered already") {
		t.Errorf("the same name again got %d %s", res.StatusCode, text)
	}
	for n := range 9 {
		register(t, r, string(rune('a'+n)), `[]`)
	}
	if res, text := again("one too many"); res.StatusCode != 403 || !strings.Contains(text, "10 extensions") {
		t.Errorf("one too many got %d %s", res.StatusCode, text)
	}
}

func TestSubscriptionsAreAnswered(t *testing.T) {
	a := register(t, listen(t), "agent", `["INVOKE"]`)
	wish := func(version string) string {
		return `{"schemaVersion":"` + version + `","types":["platform"],"destination":{"protocol":"HTTP","URI":"http://sandbox:8080"}}`
	}
	for _, test := range []struct {
		path, body string
		status     int
		text       string
	}{
		{"/2022-07-01/telemetry", wish("2022-12-13"), 200, `"OK"`},
		{"/2022-07-01/telemetry", wish("2022-07-01"), 200, `"OK"`}, // in place of the one before
		{"/2020-08-15/logs", wish("2020-08-15"), 400, "by the other one"},
		{"/2022-07-01/telemetry", wish(""), 400, "ValidationError"},
		{"/2022-07-01/telemetry", "[", 400, "cannot be read"},
	} {
		if res, text := a.call(http.MethodPut, test.path, test.body); res.StatusCode != test.status || !strings.Contains(text, test.text) {
			t.Errorf("%s %.200s: got %d %s, want %d %s", test.path, test.body, res.StatusCode, text, test.status, test.text)
		}
	}
}

func TestAnExtensionsInitErrorIsKept(t *testing.T) {
	r := listen(t)
	a := register(t, r, "agent", `[]`)
	res, _ := a.call(http.MethodPost, "/2020-01-01/extension/init/error", `{"errorMessage":"no licence"}`, "Lambda-Extension-Function-Error-Type", "Agent.Init")
	if got := r.server.InitError(); res.StatusCode != http.StatusAccepted || got == nil || got.Error() != "Agent.Init: no licence" {
		t.Errorf("got %d, and it is %v", res.StatusCode, got)
	}
	if res, _ := a.call(http.MethodPost, "/2020-01-01/extension/exit/error", `{}`); res.StatusCode != http.StatusAccepted {
		t.Errorf("got %d", res.StatusCode)
	}
}

func TestAnExtensionThatDoesNotFetchLosesTheOldest(t *testing.T) {
	r := listenFor(t, 100)
	a := register(t, r, "slow", `["INVOKE"]`)
	for n := range 70 {
		r.deliver(invocation("id-" + strconv.Itoa(n)))
	}
	if first := a.next(); first.RequestID != "id-6" {
		t.Errorf("the first event is of %q", first.RequestID)
	}
}

func TestAnInvocationIsOverWhenTheExtensionsAreDoneWithIt(t *testing.T) {
	r := listen(t)
	a := register(t, r, "agent", `["INVOKE"]`)
	types := told(t, a)
	asked := make(chan event, 1)
	go func() { asked <- a.next() }()
	one := invocation("id-1")
	r.deliver(one)
	await.From(t, "the event", asked)
	if status := r.post("/invocation/id-1/response", `{}`); status != http.StatusAccepted {
		t.Fatalf("the answer got %d", status)
	}
	if got := r.result(one); got.Err != nil {
		t.Fatal(got.Err)
	}
	next := make(chan int, 1)
	go func() { next <- r.get("/invocation/next") }() // the runtime is done with it
	await.That(t, "the runtime's end is told", func() bool { return strings.HasSuffix(types(), "runtimeDone") })
	if n := one.settled.Load(); n != 0 {
		t.Errorf("it was over before the extension was done")
	}
	go func() { asked <- a.next() }()
	await.That(t, "it is over", func() bool { return one.settled.Load() == 1 })
	if err := r.server.Invoke(t.Context(), invocation("id-2").Invocation); err != nil {
		t.Fatal(err)
	}
	await.From(t, "the next invocation", next)
	await.From(t, "its event", asked)
	await.That(t, "all is told in order", func() bool { return strings.HasSuffix(types(), "runtimeDone report start") })
}

func TestAnInvocationDoesNotOutliveAnInstanceWhoseExtensionHangs(t *testing.T) {
	r := listen(t)
	a := register(t, r, "agent", `["INVOKE"]`)
	types := told(t, a)
	one := invocation("id-1")
	r.deliver(one)
	a.next()
	r.post("/invocation/id-1/response", `{}`)
	r.result(one)
	asked := make(chan int, 1)
	go func() { asked <- r.get("/invocation/next") }()
	await.That(t, "the runtime's end is told", func() bool { return strings.HasSuffix(types(), "runtimeDone") })
	r.server.Abort(errEnded)
	r.server.Close(errEnded)
	await.From(t, "the end of what was asked", asked)
	if n := one.settled.Load(); n != 0 {
		t.Errorf("it was settled %d times", n)
	}
}

func TestExtensionsAreAwaited(t *testing.T) {
	r := listen(t)
	r.server.Expect([]string{"one", "two"})
	given, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("too late"))
	wantError := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q", err, want)
		}
	}
	register(t, r, "one", `[]`)
	wantError(r.server.AwaitRegistered(given), "too late; the extension two has not registered")
	registered := make(chan error, 1)
	go func() { registered <- r.server.AwaitRegistered(t.Context()) }()
	two := register(t, r, "two", `["SHUTDOWN"]`)
	if err := await.From(t, "both", registered); err != nil {
		t.Error(err)
	}
	wantError(r.server.AwaitExtensions(given), "has not asked for its first event")
	ended := make(chan struct{})
	go func() { // one leaves, and nobody waits for it any more; two is told and leaves
		defer close(ended)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		r.server.Left("one")
		r.server.Farewell(ctx) // to nobody: both are external
		r.server.Dismiss(ctx, runtimeapi.Failure)
	}()
	if e := two.next(); e.ShutdownReason != "FAILURE" {
		t.Errorf("it was told %+v", e)
	}
	r.server.Left("two")
	await.From(t, "the end", ended)
}

func TestTheFirstFailureOfAnExtensionEndsTheInstance(t *testing.T) {
	r := listen(t)
	a := register(t, r, "agent", `[]`)
	r.get("/init/nothing")
	ends := make(chan struct{}, 2)
	r.server.OnBreak(func() { ends <- struct{}{} })
	for range 2 {
		if res, _ := a.call(http.MethodPost, "/2020-01-01/extension/exit/error", `{"errorMessage":"no licence"}`); res.StatusCode != http.StatusAccepted {
			t.Errorf("got %d", res.StatusCode)
		}
	}
	await.From(t, "the end", ends)
	if got := r.server.Broken(); got == nil || got.Error() != "Extension.ExitError: no licence" || len(ends) != 0 {
		t.Errorf("it is told as %v, and ended %d times more", got, len(ends))
	}
	r.server.OnBreak(func() { ends <- struct{}{} }) // late
	await.From(t, "the end", ends)
}
