package lambdaapi_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/traffic/lambdaapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// double is a function that answers as the test says.
type double struct {
	answer func(r *http.Request, i function.Invocation) (function.Answer, error)
	facts  function.Facts
}

func (*double) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("not asked so")
}
func (*double) Tune(any)                    {}
func (*double) Status() function.Status     { return function.Status{} }
func (*double) Close(context.Context) error { return nil }
func (d *double) Facts() function.Facts     { return d.facts }

func (d *double) Invoke(r *http.Request, i function.Invocation) (function.Answer, error) {
	a, err := d.answer(r, i)
	a.Version = "$LATEST"
	if i.Log {
		a.Log = func() []byte { return []byte("a line\n") }
	}
	return a, err
}

// echo answers with the payload.
func echo(_ *http.Request, i function.Invocation) (function.Answer, error) {
	return function.Answer{Payload: i.Payload}, nil
}

func failing(err error) func(*http.Request, function.Invocation) (function.Answer, error) {
	return func(*http.Request, function.Invocation) (function.Answer, error) { return function.Answer{}, err }
}

func streaming(text string, end error) func(*http.Request, function.Invocation) (function.Answer, error) {
	return func(*http.Request, function.Invocation) (function.Answer, error) {
		return function.Answer{Stream: io.NopCloser(io.MultiReader(strings.NewReader(text), broken{end})), ContentType: "text/plain"}, nil
	}
}

// broken is a stream that breaks off.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) {
	if b.err == nil {
		return 0, io.EOF
	}
	return 0, b.err
}

// world is an API with the functions of a test.
type world struct {
	api     *lambdaapi.API
	held    *lambdaapi.Held
	verbose bool
}

func serve(t *testing.T, answer func(*http.Request, function.Invocation) (function.Answer, error)) *world {
	t.Helper()
	facts := function.Facts{Contract: "lambda", Payloads: true, Handler: "bootstrap", Memory: 256 << 20, Timeout: 2500 * time.Millisecond, Version: "$LATEST"}
	held := lambdaapi.NewHeld()
	w := &world{held: held, api: lambdaapi.New(lambdaapi.Options{
		Region: "eu-west-1", Account: "000000000000", Aliases: []string{"live", "prod"}, Log: slog.New(slog.DiscardHandler), Held: held,
		Functions: []lambdaapi.Function{
			{Name: "orders", Backend: &double{answer, facts}}, {Name: "a.b", Backend: &double{echo, facts}},
			{Name: "web", Backend: &double{echo, function.Facts{Contract: "http"}}},
		},
	})}
	w.api.Serve()
	t.Cleanup(func() { held.Close(context.Background()) })
	return w
}

// ask sends a request from this machine, unless change alters that.
func (w *world) ask(t *testing.T, method, target, body string, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	r.RemoteAddr, r.Host = "127.0.0.1:4711", "127.0.0.1:9001"
	change(r)
	recorder := httptest.NewRecorder()
	x := &exchange.Exchange{
		ID: strings.Repeat("0123", 8), Start: time.Now(), Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Verbose: w.verbose,
		Client: exchange.Client{IP: netip.MustParseAddrPort(r.RemoteAddr).Addr()},
	}
	out, r := exchange.Begin(recorder, r, x)
	w.operation(t, r, x).ServeHTTP(out, r)
	out.Finish(nil)
	return recorder
}

// operation finds the operation of r, as routes do.
func (w *world) operation(t *testing.T, r *http.Request, x *exchange.Exchange) http.Handler {
	t.Helper()
	all := w.api.Operations()
	for _, o := range all[:len(all)-1] {
		for _, pattern := range o.Patterns {
			before, after, named := strings.Cut(pattern, "{FunctionName}")
			rest, ok := strings.CutPrefix(x.Path, before)
			name, ok2 := strings.CutSuffix(rest, after)
			if o.Method != r.Method || !ok || !ok2 || strings.Contains(name, "/") || !named && name != "" {
				continue
			}
			text, err := url.PathUnescape(name)
			if err != nil {
				t.Fatal(err)
			}
			x.Params.Add("FunctionName", text)
			return o.Handler
		}
	}
	return all[len(all)-1].Handler
}

func unchanged(*http.Request) {}

func with(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

const invoke = "/2015-03-31/functions/orders/invocations"

func TestInvokeGivesPayloadAndVersionAndId(t *testing.T) {
	got := serve(t, echo).ask(t, "POST", invoke, `{"a": 1}`, with("X-Amz-Log-Type", "Tail"))
	if got.Code != 200 || got.Body.String() != `{"a": 1}` || got.Header().Get("Content-Type") != "application/json" {
		t.Errorf("got %d %q %v", got.Code, got.Body, got.Header())
	}
	for name, want := range map[string]string{
		"X-Amz-Executed-Version": "$LATEST", "X-Amz-Function-Error": "", "X-Amzn-Requestid": "01230123-0123-0123-0123-012301230123",
		"X-Amz-Log-Result": base64.StdEncoding.EncodeToString([]byte("a line\n")),
	} {
		if value := got.Header().Get(name); value != want {
			t.Errorf("%s is %q, want %q", name, value, want)
		}
	}
}

func TestTheFunctionIsToldWhatTheCallerSays(t *testing.T) {
	var told function.Invocation
	w := serve(t, func(r *http.Request, i function.Invocation) (function.Answer, error) {
		told = i
		if r.Header.Get("Authorization") != "" || r.Body != http.NoBody {
			t.Errorf("the caller's own head or body goes on: %v", r.Header)
		}
		return function.Answer{}, nil
	})
	w.ask(t, "POST", invoke, "", func(r *http.Request) {
		r.Header.Set("X-Amz-Client-Context", base64.StdEncoding.EncodeToString([]byte(`{"custom":{}}`)))
		r.Header.Set("Authorization", "secret")
	})
	if string(told.Payload) != "{}" || told.ClientContext != `{"custom":{}}` || told.Log || told.ID != "01230123-0123-0123-0123-012301230123" {
		t.Errorf("it was told %+v", told)
	}
}

func TestFailuresOfTheFunctionAreAnswers(t *testing.T) {
	told := &function.Failure{Type: "OrderError", Message: "none", Body: []byte(`{"errorType":"OrderError","errorMessage":"none","stackTrace":["x"]}`)}
	tests := map[string]struct {
		err  error
		want string
	}{
		"its own error":    {fault.FunctionError.New("", fault.Cause(told)), string(told.Body)},
		"without a body":   {fault.FunctionError.New("", fault.Cause(&function.Failure{Type: "A", Message: "b"})), `{"errorMessage":"b","errorType":"A"}`},
		"its start failed": {fault.FunctionInit.New("", fault.Cause(told)), string(told.Body)},
		"no start at all":  {fault.FunctionInit.New("", fault.Internal("no such file")), `{"errorMessage":"RequestId: 01230123-0123-0123-0123-012301230123 Error: The function could not be started.","errorType":"Runtime.ExitError"}`},
		"it crashed":       {fault.FunctionCrashed.New("", fault.Internal("exit status 3")), `{"errorMessage":"RequestId: 01230123-0123-0123-0123-012301230123 Error: Runtime exited without providing a reason","errorType":"Runtime.ExitError"}`},
		"too slow":         {fault.FunctionTimeout.New(""), `{"errorMessage":"RequestId: 01230123-0123-0123-0123-012301230123 Error: Task timed out after 2.50 seconds","errorType":"Sandbox.Timedout"}`},
	}
	for name, test := range tests {
		got := serve(t, failing(test.err)).ask(t, "POST", invoke, "{}", unchanged)
		if got.Code != 200 || got.Body.String() != test.want || got.Header().Get("X-Amz-Function-Error") != "Unhandled" || got.Header().Get("X-Amz-Executed-Version") != "$LATEST" {
			t.Errorf("%s: got %d %s %v", name, got.Code, got.Body, got.Header())
		}
	}
	w := serve(t, failing(tests["it crashed"].err))
	w.verbose = true
	if got := w.ask(t, "POST", invoke, "{}", unchanged); !strings.Contains(got.Body.String(), "exit status 3") {
		t.Errorf("with verbose problems it says %s", got.Body)
	}
}

func TestWhatTheApiItselfRefuses(t *testing.T) {
	big := `"` + strings.Repeat("x", 1<<20) + `"`
	tests := map[string]struct {
		answer func(*http.Request, function.Invocation) (function.Answer, error)
		target string
		body   string
		change func(*http.Request)
		status int
		kind   string
		text   string
	}{
		"no such function":       {echo, "/2015-03-31/functions/nobody/invocations", "{}", unchanged, 404, "ResourceNotFoundException", `"Message":"Function not found: arn:aws:lambda:eu-west-1:000000000000:function:nobody:$LATEST"`},
		"no such version":        {echo, invoke + "?Qualifier=7", "{}", unchanged, 404, "ResourceNotFoundException", "function:orders:7"},
		"two versions":           {echo, "/2015-03-31/functions/orders:7/invocations?Qualifier=8", "{}", unchanged, 400, "InvalidParameterValueException", "derived qualifier"},
		"no name":                {echo, "/2015-03-31/functions/a%20b/invocations", "{}", unchanged, 400, "ValidationException", "functionName"},
		"a function of requests": {echo, "/2015-03-31/functions/web/invocations", "{}", unchanged, 400, "InvalidParameterValueException", "through a route"},
		"no JSON":                {echo, invoke, "{", unchanged, 400, "InvalidRequestContentException", "not valid JSON"},
		"an unknown type":        {echo, invoke, "{}", with("X-Amz-Invocation-Type", "Soon"), 400, "ValidationException", "invocationType"},
		"an unknown log":         {echo, invoke, "{}", with("X-Amz-Log-Type", "All"), 400, "ValidationException", "logType"},
		"a context of no JSON":   {echo, invoke, "{}", with("X-Amz-Client-Context", "bm8="), 400, "InvalidRequestContentException", "Client context"},
		"a long context":         {echo, invoke, "{}", with("X-Amz-Client-Context", base64.StdEncoding.EncodeToString([]byte(`{"a":"`+strings.Repeat("x", 3583)+`"}`))), 400, "InvalidRequestContentException", "3583"},
		"a body of no HTTP": {echo, invoke, "", func(r *http.Request) {
			ctx, gone := context.WithCancel(r.Context())
			gone() // the connection is of no use any more
			*r = *r.WithContext(ctx)
			r.ContentLength, r.Body = -1, io.NopCloser(broken{fault.MalformedRequest.New("A chunk size is no number.")})
		}, 400, "", `"code":"malformed-request"`},
		"too large":              {echo, invoke, strings.Repeat(" ", 6<<20) + "1", unchanged, 413, "RequestTooLargeException", "6291456"},
		"too large, unknown":     {echo, invoke, strings.Repeat(" ", 6<<20) + "1", func(r *http.Request) { r.ContentLength = -1 }, 413, "RequestTooLargeException", "6291456"},
		"too large for later":    {echo, invoke, big, with("X-Amz-Invocation-Type", "Event"), 413, "RequestTooLargeException", "1048578 byte payload is too large for the Event invocation type (limit 1048576 bytes)"},
		"busy":                   {failing(fault.FunctionBusy.New("", fault.RetryAfter(time.Second))), invoke, "{}", unchanged, 429, "TooManyRequestsException", `"Reason":"ConcurrentInvocationLimitExceeded"`},
		"waited too long":        {failing(fault.FunctionQueueTime.New("")), invoke, "{}", unchanged, 429, "TooManyRequestsException", "Rate Exceeded."},
		"the end":                {failing(fault.ShuttingDown.New("")), invoke, "{}", unchanged, 503, "ServiceUnavailableException", "shutting down"},
		"a bug":                  {failing(errors.New("secret")), invoke, "{}", unchanged, 500, "ServiceException", `"Type":"Service"`},
		"a page":                 {echo, invoke, "{}", with("Origin", "https://evil.dev"), 403, "AccessDeniedException", "web pages"},
		"a page by navigation":   {echo, invoke, "{}", with("Sec-Fetch-Site", "cross-site"), 403, "AccessDeniedException", "web pages"},
		"another machine":        {echo, invoke, "{}", func(r *http.Request) { r.RemoteAddr = "10.0.0.7:1" }, 403, "AccessDeniedException", "lambda_api.keys"},
		"through a proxy":        {echo, invoke, "{}", with("Via", "1.1 proxy"), 403, "AccessDeniedException", "lambda_api.keys"},
		"a name that leads here": {echo, invoke, "{}", func(r *http.Request) { r.Host = "evil.dev:9001" }, 403, "AccessDeniedException", "localhost"},
		"another operation":      {echo, "/2015-03-31/functions/orders/versions", "{}", unchanged, 404, "UnknownOperationException", "Weir serves"},
	}
	for name, test := range tests {
		got := serve(t, test.answer).ask(t, "POST", test.target, test.body, test.change)
		if got.Code != test.status || got.Header().Get("X-Amzn-Errortype") != test.kind || !strings.Contains(got.Body.String(), test.text) {
			t.Errorf("%s: got %d %s %s", name, got.Code, got.Header().Get("X-Amzn-Errortype"), got.Body)
		}
		if strings.Contains(got.Body.String(), "secret") || !json.Valid(got.Body.Bytes()) {
			t.Errorf("%s: the body is %s", name, got.Body)
		}
		if wait := got.Header().Get("Retry-After"); name == "busy" && wait != "1" {
			t.Errorf("%s: Retry-After is %q", name, wait)
		}
	}
}

func TestNamesAreWhateverAWSTakes(t *testing.T) {
	for _, name := range []string{
		"orders", "orders:$LATEST", "orders:%24LATEST", "000000000000:function:orders", "123456789012:function:orders:$LATEST",
		"arn:aws:lambda:us-east-1:123456789012:function:orders", "arn%3Aaws-us-gov%3Alambda%3Aus-gov-west-1%3A123456789012%3Afunction%3Aorders%3A%24LATEST", "a.b",
	} {
		for _, query := range []string{"", "?Qualifier=%24LATEST"} {
			if got := serve(t, echo).ask(t, "POST", "/2015-03-31/functions/"+name+"/invocations"+query, "1", unchanged); got.Code != 200 || got.Body.String() != "1" {
				t.Errorf("%s%s: got %d %s", name, query, got.Code, got.Body)
			}
		}
	}
	for _, name := range []string{
		"arn:aws:s3:us-east-1:123456789012:function:orders", "arn:aws:lambda:us-east-1:1:function:orders", "arn:aws:lambda:us-east-1:123456789012:layer:orders",
		"arn:aws:lambda::123456789012:function:orders", "1:function:orders", "function:orders:a:b", "orders:", "orders:a:b", ":", "orders:a.b", strings.Repeat("a", 257),
	} {
		if got := serve(t, echo).ask(t, "POST", "/2015-03-31/functions/"+name+"/invocations", "1", unchanged); got.Code != 400 {
			t.Errorf("%s: got %d %s", name, got.Code, got.Body)
		}
	}
}

// The function is told the qualifier by which it was called, as in the cloud. Clients find it in the ARN that they
// ask for.
func TestAliasesMeanTheOneVersion(t *testing.T) {
	for name, want := range map[string]string{
		"orders": "", "orders:live": "live", "orders?Qualifier=prod": "prod", "orders:$LATEST": "$LATEST",
		"arn:aws:lambda:us-east-1:123456789012:function:orders:live": "live", "orders:live?Qualifier=live": "live",
	} {
		var told function.Invocation
		w := serve(t, func(_ *http.Request, i function.Invocation) (function.Answer, error) {
			told = i
			return function.Answer{Payload: i.Payload}, nil
		})
		path, query, _ := strings.Cut(name, "?")
		got := w.ask(t, "POST", "/2015-03-31/functions/"+path+"/invocations?"+query, "1", unchanged)
		if got.Code != 200 || told.Qualifier != want || got.Header().Get("X-Amz-Executed-Version") != "$LATEST" {
			t.Errorf("%s: got %d %s, and the function is told %q", name, got.Code, got.Body, told.Qualifier)
		}
		arn := "arn:aws:lambda:eu-west-1:000000000000:function:orders"
		if want != "" {
			arn += ":" + want
		}
		if got := w.ask(t, "GET", "/2015-03-31/functions/"+path+"/configuration?"+query, "", unchanged); !strings.Contains(got.Body.String(), `"FunctionArn":"`+arn+`"`) {
			t.Errorf("%s: got %s", name, got.Body)
		}
	}
}

func TestAnEventIsAnsweredBeforeItIsProcessed(t *testing.T) {
	release, done := make(chan struct{}), make(chan string, 1)
	w := serve(t, func(r *http.Request, i function.Invocation) (function.Answer, error) {
		<-release
		done <- string(i.Payload)
		return function.Answer{}, context.Cause(r.Context())
	})
	got := w.ask(t, "POST", invoke, `{"n":1}`, with("X-Amz-Invocation-Type", "Event"))
	if got.Code != 202 || got.Body.Len() != 0 {
		t.Errorf("got %d %s", got.Code, got.Body)
	}
	close(release)
	if payload := <-done; payload != `{"n":1}` {
		t.Errorf("it got %s", payload)
	}
}

func TestEventsInMemoryAreBounded(t *testing.T) {
	release := make(chan struct{})
	w := serve(t, func(*http.Request, function.Invocation) (function.Answer, error) {
		<-release
		return function.Answer{}, nil
	})
	defer close(release)
	most := `"` + strings.Repeat("x", 1<<20-2) + `"`
	for i := range 65 {
		want := 202
		if i == 64 { // 64 MiB are waiting
			want = 429
		}
		if got := w.ask(t, "POST", invoke, most, with("X-Amz-Invocation-Type", "Event")); got.Code != want {
			t.Fatalf("event %d: got %d %s", i, got.Code, got.Body)
		}
	}
}

func TestAPanicInAnEventEndsNothingElse(t *testing.T) {
	run := make(chan struct{}, 2)
	w := serve(t, func(*http.Request, function.Invocation) (function.Answer, error) {
		run <- struct{}{}
		panic("a bug")
	})
	for range 2 {
		if got := w.ask(t, "POST", invoke, "{}", with("X-Amz-Invocation-Type", "Event")); got.Code != 202 {
			t.Errorf("got %d", got.Code)
		}
		await.From(t, "it was run", run)
	}
	w.held.Close(t.Context()) // ends at once, because none is tried again
}

// few is a function with one instance. Calls wait for the instance as long as the queue lets them.
type few struct {
	instance             chan struct{}
	wait, takes          time.Duration
	processed, now, most atomic.Int32
}

func (f *few) answer(*http.Request, function.Invocation) (function.Answer, error) {
	for now := f.now.Add(1); now > f.most.Load(); {
		f.most.Store(now)
	}
	defer f.now.Add(-1)
	select {
	case f.instance <- struct{}{}:
	case <-time.After(f.wait):
		return function.Answer{}, fault.FunctionQueueTime.New("", fault.RetryAfter(time.Second))
	}
	<-time.After(f.takes)
	<-f.instance
	f.processed.Add(1)
	return function.Answer{}, nil
}

func TestEventsInMemoryWaitForAFunctionThatHasNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &few{instance: make(chan struct{}, 1), wait: 4 * time.Second, takes: time.Second}
		w := serve(t, f.answer)
		for range 20 {
			if got := w.ask(t, "POST", invoke, "{}", with("X-Amz-Invocation-Type", "Event")); got.Code != 202 {
				t.Fatalf("got %d %s", got.Code, got.Body)
			}
		}
		<-time.After(time.Minute)
		if n, most := f.processed.Load(), f.most.Load(); n != 20 || most != 8 {
			t.Errorf("%d of 20 events were processed, at most %d at once", n, most)
		}
	})
}

func TestEventsInMemoryGoToTheFunctionsThatServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := serve(t, failing(fault.ShuttingDown.New("")))
		if got := before.ask(t, "POST", invoke, "{}", with("X-Amz-Invocation-Type", "Event")); got.Code != 202 {
			t.Fatalf("got %d %s", got.Code, got.Body)
		}
		synctest.Wait()
		processed := make(chan struct{}, 1)
		lambdaapi.New(lambdaapi.Options{Held: before.held, Functions: []lambdaapi.Function{{Name: "orders", Backend: &double{
			func(*http.Request, function.Invocation) (function.Answer, error) {
				processed <- struct{}{}
				return function.Answer{}, nil
			}, function.Facts{Payloads: true},
		}}}}).Serve()
		<-processed // or else everything is blocked for good, and the test ends
	})
}

func TestTheEndCutsEventsInMemoryOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cut atomic.Int32
		w := serve(t, func(r *http.Request, _ function.Invocation) (function.Answer, error) {
			<-r.Context().Done()
			cut.Add(1)
			return function.Answer{}, fault.ClientGone.New("", fault.Cause(context.Cause(r.Context())))
		})
		for range 20 {
			w.ask(t, "POST", invoke, "{}", with("X-Amz-Invocation-Type", "Event"))
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		w.held.Close(ctx)
		if n := cut.Load(); n != 8 {
			t.Errorf("%d events were cut off, and the others have not begun", n)
		}
	})
}

func TestADryRunRunsNothing(t *testing.T) {
	w := serve(t, func(*http.Request, function.Invocation) (function.Answer, error) {
		t.Error("it was run")
		return function.Answer{}, nil
	})
	for _, target := range []string{invoke, "/2021-11-15/functions/orders/response-streaming-invocations"} {
		if got := w.ask(t, "POST", target, "{}", with("X-Amz-Invocation-Type", "DryRun")); got.Code != 204 || got.Header().Get("X-Amz-Executed-Version") != "$LATEST" || got.Header().Get("Content-Length") != "" {
			t.Errorf("got %d %v", got.Code, got.Header())
		}
	}
}

func TestAStreamIsWholeForWhoWantsNone(t *testing.T) {
	if got := serve(t, streaming("a stream", nil)).ask(t, "POST", invoke, "{}", unchanged); got.Code != 200 || got.Body.String() != "a stream" {
		t.Errorf("got %d %s", got.Code, got.Body)
	}
	broken := fault.FunctionError.New("", fault.Cause(&function.Failure{Type: "Midway", Message: "oops"}))
	if got := serve(t, streaming("a str", broken)).ask(t, "POST", invoke, "{}", unchanged); got.Header().Get("X-Amz-Function-Error") == "" || !strings.Contains(got.Body.String(), "Midway") {
		t.Errorf("got %d %s", got.Code, got.Body)
	}
	if got := serve(t, streaming(strings.Repeat("x", 6<<20+101), nil)).ask(t, "POST", invoke, "{}", unchanged); !strings.Contains(got.Body.String(), "Function.ResponseSizeTooLarge") {
		t.Errorf("got %d %.200s", got.Code, got.Body)
	}
}

func TestFunctionsAreListedInPages(t *testing.T) {
	w := serve(t, echo)
	type page struct {
		Functions []struct {
			FunctionName, FunctionArn, Version, State string
			Timeout, MemorySize                       int
		}
		NextMarker string
	}
	var first, second page
	got := w.ask(t, "GET", "/2015-03-31/functions/?MaxItems=1", "", unchanged)
	if err := json.Unmarshal(got.Body.Bytes(), &first); err != nil || got.Code != 200 {
		t.Fatal(err, got.Code)
	}
	got = w.ask(t, "GET", "/2015-03-31/functions?Marker="+first.NextMarker, "", unchanged)
	if err := json.Unmarshal(got.Body.Bytes(), &second); err != nil {
		t.Fatal(err)
	}
	if len(first.Functions) != 1 || first.Functions[0].FunctionName != "a.b" || len(second.Functions) != 1 || second.NextMarker != "" {
		t.Errorf("the pages are %+v and %+v; a function without payloads is in none", first, second)
	}
	f := second.Functions[0]
	if f.FunctionArn != "arn:aws:lambda:eu-west-1:000000000000:function:orders" || f.Timeout != 3 || f.MemorySize != 256 || f.Version != "$LATEST" || f.State != "Active" {
		t.Errorf("it is described as %+v", f)
	}
	for target, status := range map[string]int{
		"/2015-03-31/functions/orders": 200, "/2015-03-31/functions/orders/configuration": 200, "/2015-03-31/functions/orders?Qualifier=live": 200, "/2015-03-31/functions/orders?Qualifier=staging": 404,
		"/2015-03-31/functions/nobody": 404, "/2015-03-31/functions?MaxItems=0": 400,
	} {
		if got := w.ask(t, "GET", target, "", unchanged); got.Code != status {
			t.Errorf("%s: got %d %s", target, got.Code, got.Body)
		}
	}
}
