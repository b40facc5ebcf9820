package runtimeapi

import (
	"errors"
	"testing"

	"github.com/weir-gateway/weir/internal/base/fault"
)

func TestErrorsAreReadHoweverARuntimeWritesThem(t *testing.T) {
	tests := []struct{ kind, body, want string }{
		{"", `{"errorType":"A","errorMessage":"b"}`, "A: b"},
		{"B", `{"errorType":"A","errorMessage":"b","stackTrace":["x"]}`, "A: b"},
		{"B", `{"errorMessage":"b","trace":[]}`, "B: b"},
		{"B", `not JSON`, "B: not JSON"},
		{"B", ``, "B"},
		{"", `{"errorType":7}`, `{"errorType":7}`},
		{"", ``, ""},
	}
	for _, test := range tests {
		if got := parseError(test.kind, []byte(test.body)).Error(); got != test.want {
			t.Errorf("%q %s: got %q, want %q", test.kind, test.body, got, test.want)
		}
	}
}

func FuzzParseError(f *testing.F) {
	f.Add("A", []byte(`{"errorType":"A","errorMessage":"b"}`))
	f.Add("", []byte(`[`))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		err := failed(parseError(kind, body))
		var told *fault.Fault
		if !errors.As(err, &told) || told.Detail != "" {
			t.Errorf("the client is told %v", err)
		}
	})
}

func FuzzParseRegistration(f *testing.F) {
	f.Add([]byte(`{"events":["INVOKE","SHUTDOWN"]}`))
	f.Add([]byte(`{"events":["x"]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		events, err := parseRegistration(raw)
		for _, event := range events {
			if err != nil || event != invokeEvent && event != shutdownEvent {
				t.Errorf("%s: got %q, %v", raw, events, err)
			}
		}
	})
}
