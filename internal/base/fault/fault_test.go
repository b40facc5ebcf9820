package fault_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
)

func TestAnswerIsAProblem(t *testing.T) {
	f := fault.NoEndpoint.New("Try later.", fault.RetryAfter(1500*time.Millisecond), fault.Internal("service users"),
		fault.Cause(errors.New("dial 10.0.0.7")), fault.WithField("X-Extra", "1"), fault.WithField("X-Extra", "2"))
	a := f.Answer(fault.Context{RequestID: "id-1"})
	want := `{"type":"https://github.com/weir-gateway/weir/blob/main/docs/problems/no-endpoint.md","title":"No instance of the backend is available.","status":503,"detail":"Try later.","code":"no-endpoint","request_id":"id-1"}` + "\n"
	if a.Status != 503 || string(a.Body) != want {
		t.Errorf("got  %d %s\nwant 503 %s", a.Status, a.Body, want)
	}
	fields := []fault.Field{
		{"X-Extra", "1"}, {"X-Extra", "2"}, {"Retry-After", "2"}, {"Content-Type", "application/problem+json"},
		{"Content-Length", strconv.Itoa(len(want))}, {"Cache-Control", "no-store"}, {"X-Content-Type-Options", "nosniff"},
	}
	if !slices.Equal(a.Fields, fields) {
		t.Errorf("got  %v\nwant %v", a.Fields, fields)
	}
}

func TestOnlyAVerboseAnswerTellsWhatIsForOperators(t *testing.T) {
	f := fault.BackendReset.New("", fault.Internal("endpoint 10.0.0.7"), fault.Cause(errors.New("connection reset")))
	for verbose, want := range map[bool]string{false: "", true: "endpoint 10.0.0.7: connection reset"} {
		var body struct{ Operator string }
		if err := json.Unmarshal(f.Answer(fault.Context{Verbose: verbose}).Body, &body); err != nil || body.Operator != want {
			t.Errorf("verbose %v: got %q, %v, want %q", verbose, body.Operator, err, want)
		}
	}
}

func TestGRPCGetsTrailersOnly(t *testing.T) {
	a := fault.NoEndpoint.New("später 100%").Answer(fault.Context{GRPC: true})
	fields := []fault.Field{{"Content-Type", "application/grpc"}, {"Grpc-Status", "14"}, {"Grpc-Message", "no-endpoint: sp%C3%A4ter 100%25"}}
	if a.Status != 200 || a.Body != nil || !slices.Equal(a.Fields, fields) {
		t.Errorf("got %+v", a)
	}
}

func TestAnswersOfOneFaultShareNothing(t *testing.T) {
	f := fault.MethodNotAllowed.New("", fault.WithField("Allow", "GET"))
	first := f.Answer(fault.Context{})
	first.Fields[0].Value = "changed"
	if second := f.Answer(fault.Context{}); second.Fields[0].Value != "GET" || len(f.Fields) != 1 {
		t.Errorf("the second answer has %v", second.Fields)
	}
}

func TestFromKeepsAFaultAndHidesEverythingElse(t *testing.T) {
	f := fault.BodyTooLarge.New("10 MB are allowed.")
	if got := fault.From(fmt.Errorf("read: %w", f)); got != f {
		t.Errorf("got %v", got)
	}
	got := fault.From(errors.New("password is swordfish"))
	if got.Code != fault.Unexpected.Code || got.Detail != "" || !strings.Contains(got.Error(), "swordfish") {
		t.Errorf("got %+v: the operator must see it, the client not", got)
	}
	if fault.From(nil) != nil {
		t.Error("no error is no fault")
	}
}

func TestCodesAreUniqueAndTitlesAreSentences(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range fault.Kinds() {
		if seen[k.Code] || k.Code != strings.ToLower(k.Code) || strings.ContainsAny(k.Code, " _") {
			t.Errorf("code %q", k.Code)
		}
		if !strings.HasSuffix(k.Title, ".") || k.Status < 400 || k.Status > 599 {
			t.Errorf("%s: %d %q", k.Code, k.Status, k.Title)
		}
		seen[k.Code] = true
	}
}
