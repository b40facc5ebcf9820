package local

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/process"
	"github.com/weir-gateway/weir/internal/function/form/apigw"
	"github.com/weir-gateway/weir/internal/function/local/program"
)

func TestLambdaGetsEventsAndItsAnswersBecomeResponses(t *testing.T) {
	g := startLambda(t, &records{}, unchanged)
	got := g.post(t, "/event?a=1&a=2", "hello")
	event := decode[apigw.Event](t, got)
	if event.Version != "2.0" || event.Body != "hello" || event.Query["a"] != "1,2" || event.RequestContext.HTTP.Method != http.MethodPost ||
		event.RequestContext.RequestID != "id-of/event?a=1&a=2" {
		t.Errorf("the event is %+v", event)
	}
	if cookies := got.header.Values("Set-Cookie"); !slices.Equal(cookies, []string{"a=1", "b=2; Path=/"}) {
		t.Errorf("cookies are %q", cookies)
	}
	if got := g.get(t, "/pid"); got.status != 200 || got.header.Get("Content-Type") != "application/json" || !strings.HasPrefix(got.body, `{"pid":`) {
		t.Errorf("JSON without a statusCode became %+v", got)
	}
}

// spans is a trace that only writes down what it is told.
type spans struct{ ended []exchange.Attempt }

func (*spans) ID() string { return "4bf92f3577b34da6a3ce929d0e0e4736" }

func (s *spans) Call(c exchange.Call) func(exchange.Attempt) {
	c.Head.Set("Traceparent", "00-of-the-call-01")
	c.XRay("Root=1-of-the-call")
	return func(a exchange.Attempt) { s.ended = append(s.ended, a) }
}

func (s *spans) Step(string, string) (exchange.Trace, func(exchange.Settled)) {
	return s, func(exchange.Settled) {}
}

func TestAFunctionIsToldOfItsTrace(t *testing.T) {
	b := start(t, &records{}, func(c *Config) { c.Run, c.Contract = testFunction(t, "lambda"), program.Lambda })
	trace := &spans{}
	r := httptest.NewRequest(http.MethodGet, "/event", nil)
	r.Header.Set("Traceparent", "of the client")
	r = exchange.With(r, &exchange.Exchange{Path: "/event", Trace: trace})
	res, err := b.RoundTrip(r)
	must(t, err)
	defer res.Body.Close()
	var event apigw.Event
	must(t, json.NewDecoder(res.Body).Decode(&event))
	if event.Headers["traceparent"] != "00-of-the-call-01" || event.Headers["x-amzn-trace-id"] != "Root=1-of-the-call" {
		t.Errorf("the event has %v", event.Headers)
	}
	if len(trace.ended) != 1 || trace.ended[0].Status != http.StatusOK || !strings.HasPrefix(trace.ended[0].Endpoint, "orders#") {
		t.Errorf("spans: %+v", trace.ended)
	}
}

func TestLambdaFailuresAreProblemsThatTellNothing(t *testing.T) {
	tests := []struct {
		path   string
		status int
		code   string
	}{
		{"/error", 502, "function-error"},
		{"/bad", 502, "function-invalid-response"},
		{"/big", 502, "function-invalid-response"},
		{"/crash", 502, "function-crashed"},
	}
	g := startLambda(t, &records{}, unchanged)
	for _, test := range tests {
		t.Run(test.path, func(t *testing.T) {
			got := g.get(t, test.path)
			wantProblem(t, got, test.status, test.code)
			for _, secret := range []string{"OrderError", "no such order", "about to crash"} {
				if strings.Contains(got.body, secret) {
					t.Errorf("the client was told %q", secret)
				}
			}
			if got := g.post(t, "/", "alive"); got.body != "alive" {
				t.Errorf("afterwards it answers %+v", got)
			}
		})
	}
}

func TestLambdaAnswersThatAreTooLargeAreRefusedWith413(t *testing.T) {
	log := &records{}
	g := startLambda(t, log, unchanged)
	wantProblem(t, g.get(t, "/big"), 502, "function-invalid-response")
	await.That(t, "the function is told", func() bool { return len(log.find("big answer got 413")) == 1 })
}

func TestLambdaRequestsThatAreTooLargeReachNoInstance(t *testing.T) {
	g := startLambda(t, &records{}, unchanged)
	got := g.post(t, "/", strings.Repeat("x", 6<<20+1))
	wantProblem(t, got, 413, "function-payload-too-large")
	if !strings.Contains(got.body, "6291456") {
		t.Errorf("the limit is not named: %s", got.body)
	}
	if s := g.Status(); s.Instances != 0 {
		t.Errorf("%d instances were started", s.Instances)
	}
}

func TestLambdaStreamsPassWhileTheyAreWritten(t *testing.T) {
	g := startLambda(t, &records{}, unchanged)
	got := g.get(t, "/stream")
	if got.status != 201 || got.body != "first second" || got.err != nil || got.header.Get("Set-Cookie") != "s=1" || got.header.Get("Content-Type") != "text/plain" {
		t.Errorf("got %+v", got)
	}
	if got := g.get(t, "/stream-raw"); got.status != 200 || got.body != "first second" || got.header.Get("Content-Type") != "text/plain" {
		t.Errorf("got %+v", got)
	}
}

func TestLambdaStreamsThatBreakAreNotEndedCleanly(t *testing.T) {
	g := startLambda(t, &records{}, unchanged)
	for _, path := range []string{"/stream-error", "/stream-crash"} {
		if got := g.get(t, path); got.err == nil || got.body != "first " {
			t.Errorf("%s: got %q and the error %v, want the first part and an abort", path, got.body, got.err)
		}
	}
}

func TestLambdaStreamIsCutByTheTimeout(t *testing.T) {
	g := startLambda(t, &records{}, func(c *Config) { c.Timeout = 100 * time.Millisecond })
	await.That(t, "a stream is begun before its time is over", func() bool {
		got, err := g.send("/stream-forever", "")
		switch {
		case err != nil: // it was over before the first byte
			return false
		case got.status != http.StatusCreated:
			wantProblem(t, got, http.StatusGatewayTimeout, "function-timeout")
		case got.err == nil:
			t.Errorf("got %.40q and no error, want an abort", got.body)
		}
		return strings.HasPrefix(got.body, "first more")
	})
	if got := g.inTime(t, "/", "alive"); got.body != "alive" {
		t.Errorf("afterwards it answers %+v", got)
	}
}

func TestLambdaTimeoutKillsTheGroupAndReplacesTheInstance(t *testing.T) {
	log := &records{}
	g := startLambda(t, log, func(c *Config) { c.Timeout, c.Scale.Max = 300*time.Millisecond, 1 })
	var pids []int
	await.That(t, "the function has all its children before its time is over", func() bool {
		wantProblem(t, g.get(t, "/children-and-hang"), 504, "function-timeout")
		pids = childrenOf(t, log)
		return len(pids) >= 3
	})
	if got := g.inTime(t, "/", "alive"); got.body != "alive" {
		t.Errorf("the replacement answers %+v", got)
	}
	await.That(t, "all of them end", func() bool { return !slices.ContainsFunc(pids, alive) })
}

func TestLambdaThatLingersAfterItsAnswerIsKilled(t *testing.T) {
	g := startLambda(t, &records{}, func(c *Config) { c.Timeout, c.Scale.Max = 200*time.Millisecond, 1 })
	if got := g.inTime(t, "/linger", ""); got.body != `"done"` {
		t.Errorf("got %+v", got)
	}
	if got := g.inTime(t, "/", "alive"); got.body != "alive" {
		t.Errorf("the replacement answers %+v", got)
	}
}

func TestEnvironmentHoldsNothingOfTheGateways(t *testing.T) {
	t.Setenv("GATEWAY_SECRET", "hunter2")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
	for name, g := range map[string]*gateway{
		"lambda": startLambda(t, &records{}, withEnv), "http": startWeb(t, &records{}, withEnv),
	} {
		t.Run(name, func(t *testing.T) {
			got := decode[struct{ Env []string }](t, g.get(t, "/env"))
			text := strings.Join(got.Env, "\n")
			if strings.Contains(text, "GATEWAY_SECRET") || strings.Contains(text, "AWS_SECRET_ACCESS_KEY") {
				t.Errorf("the gateway's environment leaks:\n%s", text)
			}
			for _, want := range []string{"TOKEN=hunter2", "PLAIN=text", "PATH=" + defaultPath, "LANG=C.UTF-8", "TMPDIR=", "HOME="} {
				if !strings.Contains(text, want) {
					t.Errorf("%s is missing in:\n%s", want, text)
				}
			}
			names := map[string]bool{}
			for _, variable := range got.Env {
				name, _, _ := strings.Cut(variable, "=")
				names[name] = true
			}
			known := []string{"PATH", "HOME", "TMPDIR", "LANG", "TZ", "TOKEN", "PLAIN", "PORT", "HOST", "FUNCTION_TARGET", process.InstanceVariable, "_HANDLER", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR"}
			for name := range names {
				if !slices.Contains(known, name) && !strings.HasPrefix(name, "AWS_") {
					t.Errorf("there is a variable %s", name)
				}
			}
		})
	}
}

func TestOutputGoesToTheLogWithItsRequest(t *testing.T) {
	log := &records{}
	g := startLambda(t, log, unchanged)
	g.get(t, "/loud")
	long := strings.Repeat("x", process.MaxLine)
	await.That(t, "all lines are there", func() bool { return len(log.find("one")) == 1 && len(log.find(long)) == 1 && len(log.find("two")) == 1 })
	one, cut, two := log.find("one")[0], log.find(long)[0], log.find("two")[0]
	if one["function"] != "orders" || one["request"] != "id-of/loud" || one["stream"] != "stdout" || one["instance"] == nil {
		t.Errorf("the record is %v", one)
	}
	if cut["cut"] != float64(1<<20-process.MaxLine) {
		t.Errorf("%v bytes are said to be cut", cut["cut"])
	}
	if two["stream"] != "stderr" {
		t.Errorf("the record is %v", two)
	}
}

func TestAFailedInitIsTheAnswerWithItsReasonForOperators(t *testing.T) {
	tests := map[string]struct {
		how, reason string
		init        time.Duration
	}{
		"init error": {"error", "Runtime.ImportModuleError: no such module", await.Patience},
		"exit":       {"exit", "cannot find my config", await.Patience},
		"hang":       {"hang", "it was not ready after 200ms", 200 * time.Millisecond},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g := startLambda(t, &records{}, func(c *Config) {
				c.Env = env(t, "INIT", test.how)
				c.Init, c.Queue.Wait = new(test.init), await.Patience
			})
			got := g.get(t, "/")
			wantProblem(t, got, 503, "function-init-failed")
			if got.header.Get("Retry-After") == "" {
				t.Error("there is no Retry-After")
			}
			if problem := g.Status().Problem; !strings.Contains(problem, test.reason) || strings.Contains(got.body, test.reason) {
				t.Errorf("the status says %q and the client got %s; only the former may say %q", problem, got.body, test.reason)
			}
		})
	}
}

func TestSixteenClientsOnEightInstancesMeetNoError(t *testing.T) {
	for name, g := range map[string]*gateway{
		"lambda": startLambda(t, &records{}, unchanged),
		"http":   startWeb(t, &records{}, func(c *Config) { c.Scale.Concurrency = 1 }),
	} {
		t.Run(name, func(t *testing.T) {
			var clients sync.WaitGroup
			for range 16 {
				clients.Go(func() {
					for range 50 {
						if got, err := g.send("/", "hello"); err != nil || got.body != "hello" {
							t.Errorf("got %+v, %v", got, err)
							return
						}
					}
				})
			}
			clients.Wait()
			if s := g.Status(); s.Instances < 2 || s.Instances > 8 {
				t.Errorf("%d instances served 16 clients, want 2 to 8", s.Instances)
			}
		})
	}
}

func TestAKilledInstanceCostsOnlyItsOwnRequest(t *testing.T) {
	g := startLambda(t, &records{}, func(c *Config) { c.Scale.Max = 2 })
	first := decode[struct{ PID int }](t, g.get(t, "/pid")).PID
	await.That(t, "the instance is free again", func() bool { return g.Status().Busy == 0 })
	inFlight := make(chan reply)
	go func() {
		got, _ := g.send("/hang", "")
		inFlight <- got
	}()
	await.That(t, "the request is in flight", func() bool { return g.Status().Busy == 1 })
	beside := g.post(t, "/", "beside") // by another instance
	kill(t, first)
	wantProblem(t, <-inFlight, 502, "function-crashed")
	if beside.body != "beside" {
		t.Errorf("the other instance answered %+v", beside)
	}
	for range 4 {
		if got := g.post(t, "/", "after"); got.body != "after" {
			t.Errorf("afterwards it answers %+v", got)
		}
	}
}

func TestEachKillUnderLoadCostsAtMostOneRequest(t *testing.T) {
	g := startLambda(t, &records{}, func(c *Config) { c.Scale.Max = 4 })
	var clients sync.WaitGroup
	var lost, kills atomic.Int64
	stop := make(chan struct{})
	for range 8 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got, err := g.send("/", "hello"); err != nil || got.body != "hello" {
					lost.Add(1)
				}
			}
		})
	}
	for range 10 {
		got := g.get(t, "/pid")
		if got.status != http.StatusOK {
			continue // it met an instance that was killed before
		}
		kills.Add(1)
		kill(t, decode[struct{ PID int }](t, got).PID)
	}
	close(stop)
	clients.Wait()
	if lost.Load() > kills.Load() || kills.Load() == 0 {
		t.Errorf("%d kills cost %d requests", kills.Load(), lost.Load())
	}
}

// busy has a function with one instance, which is ready by now and works until done is called.
func busy(t *testing.T, change func(*Config)) (g *gateway, done func()) {
	t.Helper()
	g = startLambda(t, &records{}, func(c *Config) {
		c.Scale.Min, c.Scale.Max, c.Timeout = 1, 1, time.Minute
		change(c)
	})
	await.That(t, "the instance is ready", func() bool { s := g.Status(); return s.Instances == 1 && s.Starting == 0 })
	sign, ended := filepath.Join(t.TempDir(), "go on"), make(chan struct{})
	go func() {
		defer close(ended)
		if got, err := g.send("/until", sign); err != nil || got.body != `"until"` {
			t.Errorf("who came first got %+v, %v", got, err)
		}
	}()
	done = sync.OnceFunc(func() {
		if err := os.WriteFile(sign, nil, 0o600); err != nil {
			t.Error(err)
		}
		<-ended
	})
	t.Cleanup(done)
	await.That(t, "it is busy", func() bool { return g.Status().Busy == 1 })
	return g, done
}

func TestAFullQueueAnswers429(t *testing.T) {
	g, done := busy(t, func(c *Config) { c.Queue.Size, c.Queue.Wait = 1, time.Minute })
	waited := make(chan reply, 1)
	go func() {
		got, _ := g.send("/", "waits")
		waited <- got
	}()
	await.That(t, "a request waits", func() bool { return g.Status().Queued == 1 })
	got := g.post(t, "/", "one too many")
	wantProblem(t, got, 429, "function-busy")
	if got.header.Get("Retry-After") == "" {
		t.Error("there is no Retry-After")
	}
	done()
	if got := await.From(t, "the answer to the one that waits", waited); got.body != "waits" {
		t.Errorf("the one that waits got %+v", got)
	}
}

func TestALongWaitAnswers503(t *testing.T) {
	g, _ := busy(t, func(c *Config) { c.Queue.Size, c.Queue.Wait = 1, 200*time.Millisecond })
	wantProblem(t, g.post(t, "/", "waits"), 503, "function-queue-timeout")
}

func TestAnInstanceThatAsksForOneGetsOneWhateverTheConfigAllows(t *testing.T) {
	g := startLambda(t, &records{}, func(c *Config) {
		c.Scale.Max, c.Scale.Concurrency, c.Timeout, c.Queue.Wait = 1, 4, 5*time.Second, time.Minute
	})
	var clients sync.WaitGroup
	defer clients.Wait()
	clients.Go(func() { _, _ = g.send("/hang", "") })
	await.That(t, "the instance is busy", func() bool { return g.Status().Busy == 1 })
	waited := make(chan reply, 1)
	clients.Go(func() {
		got, _ := g.send("/", "waits")
		waited <- got
	})
	await.That(t, "a request waits", func() bool { return g.Status().Queued == 1 })
	if got := await.From(t, "an answer of the next instance", waited); got.body != "waits" {
		t.Errorf("got %+v", got)
	}
}

func TestUnusedInstancesEnd(t *testing.T) {
	g := startLambda(t, &records{}, func(c *Config) { c.Scale.Idle = shortestIdle })
	pid := decode[struct{ PID int }](t, g.get(t, "/pid")).PID
	await.That(t, "the instance ends", func() bool { return g.Status().Instances == 0 && !alive(pid) })
	if again := decode[struct{ PID int }](t, g.get(t, "/pid")).PID; again == pid {
		t.Error("the ended instance answered")
	}
}

func TestAClientThatLeavesDoesNotFreeTheInstance(t *testing.T) {
	g := startLambda(t, &records{}, func(c *Config) { c.Scale.Max = 1 })
	g.get(t, "/pid")
	await.That(t, "the instance is free again", func() bool { return g.Status().Busy == 0 })
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	sign := filepath.Join(t.TempDir(), "go on")
	go func() {
		r, _ := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+"/until", strings.NewReader(sign))
		r.Header.Set("Content-Type", "text/plain")
		res, err := g.Client().Do(r)
		if err == nil {
			_ = res.Body.Close()
		}
		left <- err
	}()
	await.That(t, "an instance is busy", func() bool { return g.Status().Busy == 1 })
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the client got %v", err)
	}
	next := make(chan reply, 1)
	go func() {
		got, _ := g.send("/", "next")
		next <- got
	}()
	await.That(t, "the next request waits for the instance", func() bool { return g.Status().Queued == 1 })
	if err := os.WriteFile(sign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := <-next; got.body != "next" {
		t.Errorf("the next request got %+v", got)
	}
}

func TestCloseLeavesNoProcess(t *testing.T) {
	log := &records{}
	b := start(t, log, func(c *Config) { c.Run, c.Contract = testFunction(t, "lambda"), "lambda" })
	g := serve(t, b)
	pids := decode[struct{ PIDs []int }](t, g.get(t, "/children")).PIDs
	await.That(t, "the instance is free again", func() bool { return b.Status().Busy == 0 })
	hanging := make(chan reply, 1)
	go func() {
		got, _ := g.send("/hang", "")
		hanging <- got
	}()
	await.That(t, "a request is in flight", func() bool { return b.Status().Busy == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	b.(*backend).pool.Close(ctx)
	wantProblem(t, <-hanging, 502, "function-crashed")
	if alive(pids[0]) {
		t.Errorf("process %d is alive after Close", pids[0])
	}
	// What it has started is killed with it; when the system gets to that is its own matter.
	await.That(t, "all of them end", func() bool { return !slices.ContainsFunc(pids, alive) })
	wantProblem(t, g.get(t, "/"), 503, "shutting-down")
}

// TestStorm lets everything that goes wrong meet: what counts is that there is
// always an answer, and that nothing is left (start and goleak look for that).
func TestStorm(t *testing.T) {
	g := startLambda(t, &records{}, func(c *Config) {
		c.Scale.Max, c.Scale.Idle, c.Timeout = 4, shortestIdle, 500*time.Millisecond
	})
	paths := []string{"/", "/event", "/slow", "/error", "/bad", "/crash", "/stream", "/stream-crash", "/hang", "/linger"}
	var clients sync.WaitGroup
	for n := range 12 {
		clients.Go(func() {
			for i := range 15 {
				got, err := g.send(paths[(n*7+i*3)%len(paths)], "")
				if err != nil || got.status == 0 || got.status == 500 {
					t.Errorf("got %+v, %v", got, err)
				}
			}
		})
	}
	clients.Wait()
}
