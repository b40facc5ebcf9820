package local

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function"
)

// invoke gives b a payload, outside of any request.
func invoke(t *testing.T, b function.Backend, i function.Invocation) (function.Answer, error) {
	t.Helper()
	r := exchange.With(httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil), &exchange.Exchange{ID: "of-the-caller"})
	return b.(function.Invoker).Invoke(r, i)
}

// failureOf is what the function told of its failure.
func failureOf(t *testing.T, err error, kind fault.Kind) *function.Failure {
	t.Helper()
	var f *fault.Fault
	var failure *function.Failure
	if !errors.As(err, &f) || f.Code != kind.Code || !errors.As(err, &failure) {
		t.Fatalf("the error is %v, want %s with what the function said", err, kind.Code)
	}
	return failure
}

func TestAPayloadPassesAsItIs(t *testing.T) {
	g := startLambda(t, &records{}, unchanged)
	answer, err := invoke(t, g.Backend, function.Invocation{ID: "11111111-2222-4333-8444-555555555555", Payload: []byte(`{"rawPath":"/told"}`), ClientContext: `{"custom":{"a":"b"}}`})
	if err != nil || answer.Version != "$LATEST" || answer.Stream != nil || answer.Log != nil {
		t.Fatalf("got %+v, %v", answer, err)
	}
	var told http.Header
	must(t, json.Unmarshal(answer.Payload, &told))
	if told.Get("Lambda-Runtime-Aws-Request-Id") != "11111111-2222-4333-8444-555555555555" || told.Get("Lambda-Runtime-Client-Context") != `{"custom":{"a":"b"}}` {
		t.Errorf("the function was told %v", told)
	}
	answer, err = invoke(t, g.Backend, function.Invocation{Payload: []byte(`{"rawPath":"/told"}`)})
	must(t, err)
	told = nil
	must(t, json.Unmarshal(answer.Payload, &told))
	if _, there := told["Lambda-Runtime-Client-Context"]; there || len(told.Get("Lambda-Runtime-Aws-Request-Id")) != 36 {
		t.Errorf("without id and context it was told %v", told)
	}
}

func TestAFunctionsErrorKeepsItsBody(t *testing.T) {
	g := startLambda(t, &records{}, unchanged)
	answer, err := invoke(t, g.Backend, function.Invocation{Payload: []byte(`{"rawPath":"/error"}`)})
	failure := failureOf(t, err, fault.FunctionError)
	if failure.Type != "OrderError" || string(failure.Body) != `{"errorType":"OrderError","errorMessage":"no such order"}` || answer.Version != "$LATEST" {
		t.Errorf("got %+v: %s", failure, failure.Body)
	}
	_, err = invoke(t, g.Backend, function.Invocation{Payload: []byte(`{"rawPath":"/big"}`)})
	if failure := failureOf(t, err, fault.FunctionBadResponse); failure.Type != "Function.ResponseSizeTooLarge" {
		t.Errorf("got %+v", failure)
	}
}

func TestAnInitErrorIsAFailureToo(t *testing.T) {
	g := startLambda(t, &records{}, func(c *Config) { c.Env = env(t, "INIT", "error") })
	for range 2 { // the second meets the pause between starts
		_, err := invoke(t, g.Backend, function.Invocation{Payload: []byte(`{}`)})
		if failure := failureOf(t, err, fault.FunctionInit); failure.Type != "Runtime.ImportModuleError" || failure.Body == nil {
			t.Errorf("got %+v", failure)
		}
	}
}

func TestAStreamPassesWithItsError(t *testing.T) {
	g := startLambda(t, &records{}, unchanged)
	answer, err := invoke(t, g.Backend, function.Invocation{Payload: []byte(`{"rawPath":"/stream-error"}`)})
	must(t, err)
	if answer.ContentType != "application/vnd.awslambda.http-integration-response" {
		t.Errorf("its type is %q", answer.ContentType)
	}
	text, err := io.ReadAll(answer.Stream)
	if !strings.HasSuffix(string(text), "\x00first ") {
		t.Errorf("got %q", text)
	}
	if failure := failureOf(t, err, fault.FunctionError); failure.Type != "Midway" {
		t.Errorf("got %+v", failure)
	}
	must(t, answer.Stream.Close())
}

func TestTheLogOfAnInvocationIsItsOwn(t *testing.T) {
	log := &records{}
	g := startLambda(t, log, func(c *Config) { c.Scale.Max = 1 })
	for n := range 2 {
		answer, err := invoke(t, g.Backend, function.Invocation{ID: "an-id", Payload: []byte(`{"rawPath":"/loud"}`), Log: true})
		must(t, err)
		await.That(t, "the output is read", func() bool { return len(log.find("two")) > n && g.Status().Busy == 0 })
		tail := string(answer.Log())
		if len(tail) > mostTail || strings.Count(tail, "two\n") > 1 || !strings.Contains(tail, "END RequestId: an-id\nREPORT RequestId: an-id\tDuration: ") {
			t.Errorf("the tail is %.200q ... %q", tail, tail[max(0, len(tail)-200):])
		}
	}
	answer, err := invoke(t, g.Backend, function.Invocation{ID: "another", Payload: []byte(`{"rawPath":"/pid"}`), Log: true})
	must(t, err)
	if tail := string(answer.Log()); !strings.HasPrefix(tail, "START RequestId: another Version: $LATEST\n") || strings.Contains(tail, "two") {
		t.Errorf("the tail of a quiet one is %q", tail)
	}
}

func TestOnlyLambdaTakesPayloads(t *testing.T) {
	g := startWeb(t, &records{}, unchanged)
	if facts := g.Backend.(function.Invoker).Facts(); facts.Payloads || facts.Contract != "http" {
		t.Errorf("its facts are %+v", facts)
	}
	if _, err := invoke(t, g.Backend, function.Invocation{}); err == nil {
		t.Error("a payload was taken")
	}
}
