package lambda

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/telemetry"
)

const httpType = "application/vnd.awslambda.http-integration-response"

// streaming answers with messages, each sent at once.
func streaming(contentType string, messages ...[]byte) func(http.ResponseWriter, asked) {
	return func(w http.ResponseWriter, _ asked) {
		w.Header().Set("Content-Type", streamType)
		if contentType != "" {
			w.Header().Set(remappedField, contentType)
		}
		for _, m := range messages {
			_, _ = w.Write(m)
			w.(http.Flusher).Flush()
		}
	}
}

func TestStreamsBecomeResponses(t *testing.T) {
	environment(t)
	prelude := `{"statusCode":201,"headers":{"x-a":"1"},"cookies":["a=1"]}` + strings.Repeat("\x00", 8)
	end := event(t, "InvokeComplete", `{}`)
	tests := map[string]struct {
		kind     string
		messages [][]byte
		status   int
		body     string
		header   string
	}{
		"with a prelude":                  {httpType, [][]byte{event(t, "PayloadChunk", prelude), event(t, "PayloadChunk", "a"), event(t, "PayloadChunk", "b"), end}, 201, "ab", "1"},
		"in one piece":                    {httpType, [][]byte{event(t, "PayloadChunk", prelude+"ab"), end}, 201, "ab", "1"},
		"in many":                         {httpType, [][]byte{event(t, "PayloadChunk", prelude[:7]), event(t, "PayloadChunk", prelude[7:]), event(t, "PayloadChunk", "ab"), end}, 201, "ab", "1"},
		"of another type":                 {"text/event-stream", [][]byte{event(t, "PayloadChunk", "data: 1\n\n"), end}, 200, "data: 1\n\n", ""},
		"a function that does not stream": {"application/json", [][]byte{event(t, "PayloadChunk", `{"statusCode":404,"headers":{"x-a":"1"},`), event(t, "PayloadChunk", `"body":"no"}`), end}, 404, "no", "1"},
		"nothing said":                    {"", [][]byte{event(t, "PayloadChunk", `{"hello":1}`), end}, 200, `{"hello":1}`, ""},
		"what is not known yet":           {"text/plain", [][]byte{event(t, "Heartbeat", ""), event(t, "PayloadChunk", "x"), end}, 200, "x", ""},
		"nothing":                         {"text/plain", [][]byte{end}, 200, "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := serveAWS(t, "eu-west-1", streaming(test.kind, test.messages...))
			b := build(t, "lambda: orders:live\nregion: eu-west-1\nmode: stream\nendpoint: "+a.URL).(*backend)
			res, _, err := ask(t, b, "GET", "/", "", unchanged)
			if err != nil {
				t.Fatal(err)
			}
			if got := bodyOf(t, res); res.StatusCode != test.status || got != test.body || res.Header.Get("X-A") != test.header {
				t.Errorf("got %d %q %v", res.StatusCode, got, res.Header)
			}
			if seen := a.seen()[0]; seen.path != "/2021-11-15/functions/orders/response-streaming-invocations" || seen.query != "Qualifier=live" {
				t.Errorf("asked for %s?%s", seen.path, seen.query)
			}
			if b.sites[0].calls.Status().Busy != 0 || b.own.Status().Busy != 0 || b.platform.room.Taken() != 0 {
				t.Error("something was not given back")
			}
		})
	}
}

func TestStreamsThatFailMidwayDoNotEndWell(t *testing.T) {
	environment(t)
	chunk := event(t, "PayloadChunk", "begun")
	log := base64.StdEncoding.EncodeToString([]byte("no tea left"))
	tests := map[string]struct {
		messages [][]byte
		kind     fault.Kind
		text     string
	}{
		"its own error":       {[][]byte{event(t, "InvokeComplete", `{"ErrorCode":"Unhandled","ErrorDetails":"{\"errorType\":\"OrderError\",\"errorMessage\":\"no tea\"}","LogResult":"`+log+`"}`)}, fault.FunctionError, "OrderError: no tea"},
		"too slow":            {[][]byte{event(t, "InvokeComplete", `{"ErrorCode":"Sandbox.Timedout","ErrorDetails":"x"}`)}, fault.FunctionTimeout, "Sandbox"},
		"the platform":        {[][]byte{message(t, map[string]string{":message-type": "exception", ":exception-type": "TooManyRequestsException"}, "x")}, fault.FunctionThrottled, "TooMany"},
		"an error of another": {[][]byte{message(t, map[string]string{":message-type": "error", ":error-code": "InternalFailure"}, "x")}, fault.FunctionUnavailable, "InternalFailure"},
		"it breaks off":       {nil, fault.FunctionBadResponse, "broken off"},
		"half a message":      {[][]byte{chunk[:20]}, fault.FunctionBadResponse, "broken off"},
		"no message":          {[][]byte{[]byte(strings.Repeat("no event stream ", 9))}, fault.FunctionBadResponse, ""},
		"a wrong sum":         {[][]byte{append(chunk[:len(chunk)-1:len(chunk)-1], chunk[len(chunk)-1]^1)}, fault.FunctionBadResponse, ""},
		"no JSON at its end":  {[][]byte{event(t, "InvokeComplete", `x`)}, fault.FunctionBadResponse, ""},
	}
	for name, test := range tests {
		for _, begun := range []bool{true, false} {
			messages := test.messages
			if begun {
				messages = append([][]byte{chunk}, messages...)
			}
			a := serveAWS(t, "eu-west-1", streaming("text/plain", messages...))
			b := build(t, "lambda: orders\nregion: eu-west-1\nmode: stream\nendpoint: "+a.URL).(*backend)
			res, _, err := ask(t, b, "POST", "/", "", unchanged)
			if begun {
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				var body []byte
				body, err = io.ReadAll(res.Body)
				_ = res.Body.Close()
				if string(body) != "begun" {
					t.Errorf("%s: before it failed came %q", name, body)
				}
			}
			f, ok := errors.AsType[*fault.Fault](err)
			if !ok || f.Code != test.kind.Code || !strings.Contains(f.Operator(), test.text) {
				t.Errorf("%s, begun %v: %v", name, begun, err)
			}
			if b.sites[0].calls.Status().Busy != 0 || b.own.Status().Busy != 0 || b.platform.room.Taken() != 0 {
				t.Errorf("%s: something was not given back", name)
			}
		}
	}
}

// The first byte is there while the function has not said anything more.
func TestStreamsAreNotHeldBack(t *testing.T) {
	environment(t)
	more := make(chan struct{})
	a := serveAWS(t, "eu-west-1", func(w http.ResponseWriter, seen asked) {
		streaming("text/plain", event(t, "PayloadChunk", "1"))(w, seen)
		<-more
		streaming("text/plain", event(t, "PayloadChunk", "2"), event(t, "InvokeComplete", "{}"))(w, seen)
	})
	res, _, err := ask(t, build(t, "lambda: orders\nregion: eu-west-1\nmode: stream\nendpoint: "+a.URL), "GET", "/", "", unchanged)
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 10)
	if n, err := res.Body.Read(first); string(first[:n]) != "1" || err != nil {
		t.Errorf("got %q, %v", first[:n], err)
	}
	close(more)
	if rest := bodyOf(t, res); rest != "2" {
		t.Errorf("then came %q", rest)
	}
}

// Of a stream, its end alone tells whether the instance was new.
func TestStreamsOfNewInstancesAreCounted(t *testing.T) {
	environment(t)
	report := func(line string) []byte {
		return event(t, "InvokeComplete", `{"LogResult":"`+base64.StdEncoding.EncodeToString([]byte(line))+`"}`)
	}
	ends := [][]byte{report("REPORT RequestId: 1\tInit Duration: 12.50 ms\t\n"), report("REPORT RequestId: 2\tDuration: 1.00 ms\n"), nil}
	var asks atomic.Int32
	a := serveAWS(t, "eu-west-1", func(w http.ResponseWriter, seen asked) {
		streaming("text/plain", event(t, "PayloadChunk", "x"), ends[asks.Add(1)-1])(w, seen)
	})
	b := build(t, "lambda: orders\nregion: eu-west-1\nmode: stream\nendpoint: "+a.URL).(*backend)
	m := telemetry.New("test")
	life, release := m.Function("orders")
	defer release()
	b.life = life
	for range ends {
		res, _, err := ask(t, b, "GET", "/", "", unchanged)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(res.Body) // the last one breaks off
		_ = res.Body.Close()
		_ = res.Body.Close() // twice, as bodies may be
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{`start="cold"} 1`, `start="warm"} 2`} {
		if !strings.Contains(w.Body.String(), `weir_function_invocations_total{function="orders",`+want) {
			t.Errorf("%s is not told", want)
		}
	}
}
