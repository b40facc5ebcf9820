package lambdaapi_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/function"
)

const invokeStreaming = "/2021-11-15/functions/orders/response-streaming-invocations"

// messages splits an event stream: "PayloadChunk abc", "InvokeComplete {}".
func messages(t *testing.T, b []byte) []string {
	t.Helper()
	var list []string
	for len(b) > 0 {
		total, head := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
		if crc32.ChecksumIEEE(b[:8]) != binary.BigEndian.Uint32(b[8:]) || crc32.ChecksumIEEE(b[:total-4]) != binary.BigEndian.Uint32(b[total-4:]) {
			t.Fatal("a sum is wrong")
		}
		headers := map[string]string{}
		for h := b[12 : 12+head]; len(h) > 0; {
			name := string(h[1 : 1+h[0]])
			h = h[1+h[0]:]
			if h[0] != 7 {
				t.Fatalf("%s is no text", name)
			}
			length := binary.BigEndian.Uint16(h[1:])
			headers[name] = string(h[3 : 3+length])
			h = h[3+length:]
		}
		if headers[":message-type"] != "event" || headers[":content-type"] == "" {
			t.Errorf("the headers are %v", headers)
		}
		list = append(list, headers[":event-type"]+" "+string(b[12+head:total-4]))
		b = b[total:]
	}
	return list
}

func TestAStreamPassesInMessagesThatTellItsEnd(t *testing.T) {
	midway := fault.FunctionError.New("", fault.Cause(&function.Failure{Type: "Midway", Message: "oops", Body: []byte(`{"errorType":"Midway"}`)}))
	tests := map[string]struct {
		answer func(*http.Request, function.Invocation) (function.Answer, error)
		want   []string
	}{
		"a stream":         {streaming("abc", nil), []string{"PayloadChunk abc", "InvokeComplete {}"}},
		"a whole answer":   {echo, []string{"PayloadChunk {}", "InvokeComplete {}"}},
		"nothing":          {streaming("", nil), []string{"InvokeComplete {}"}},
		"an end midway":    {streaming("abc", midway), []string{"PayloadChunk abc", `InvokeComplete {"ErrorCode":"Midway","ErrorDetails":"{\"errorType\":\"Midway\"}"}`}},
		"an error at once": {failing(midway), []string{`InvokeComplete {"ErrorCode":"Midway","ErrorDetails":"{\"errorType\":\"Midway\"}"}`}},
	}
	for name, test := range tests {
		got := serve(t, test.answer).ask(t, "POST", invokeStreaming, "{}", unchanged)
		list := messages(t, got.Body.Bytes())
		if got.Code != 200 || got.Header().Get("Content-Type") != "application/vnd.amazon.eventstream" || fmt.Sprint(list) != fmt.Sprint(test.want) {
			t.Errorf("%s: got %d %q", name, got.Code, list)
		}
	}
	got := serve(t, streaming("abc", nil)).ask(t, "POST", invokeStreaming, "{}", with("X-Amz-Log-Type", "Tail"))
	list := messages(t, got.Body.Bytes())
	if list[1] != `InvokeComplete {"LogResult":"YSBsaW5lCg=="}` || got.Header().Get("X-Amzn-Remapped-Content-Type") != "text/plain" {
		t.Errorf("got %q, %v", list, got.Header())
	}
}

func TestLongPartsAreCut(t *testing.T) {
	long := strings.Repeat("0123456789", 10_000)
	for name, answer := range map[string]func(*http.Request, function.Invocation) (function.Answer, error){
		"a stream": streaming(long, nil),
		"a whole answer": func(*http.Request, function.Invocation) (function.Answer, error) {
			return function.Answer{Payload: []byte(long)}, nil
		},
	} {
		var whole strings.Builder
		list := messages(t, serve(t, answer).ask(t, "POST", invokeStreaming, "{}", unchanged).Body.Bytes())
		for _, m := range list {
			text, _ := strings.CutPrefix(m, "PayloadChunk ")
			whole.WriteString(text)
		}
		if whole.String() != long+"InvokeComplete {}" || len(list) < 4 {
			t.Errorf("%s: %d messages have %d bytes", name, len(list), whole.Len())
		}
	}
}

func TestErrorsBeforeTheStreamAreAnsweredAsSuch(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		change func(*http.Request)
		status int
	}{
		"busy":     {fault.FunctionBusy.New(""), unchanged, 429},
		"an event": {nil, with("X-Amz-Invocation-Type", "Event"), 400},
	} {
		got := serve(t, failing(test.err)).ask(t, "POST", invokeStreaming, "{}", test.change)
		if got.Code != test.status || !json.Valid(got.Body.Bytes()) {
			t.Errorf("%s: got %d %s", name, got.Code, got.Body)
		}
	}
}
