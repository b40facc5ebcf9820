package fault_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
)

func TestWriteAnswersWithAProblem(t *testing.T) {
	f := fault.NoEndpoint.New("Try later.", fault.RetryAfter(1500*time.Millisecond), fault.Internal("service users"),
		fault.Cause(errors.New("dial 10.0.0.7")), fault.Header("X-Extra", "1"))
	w := httptest.NewRecorder()
	fault.Write(w, httptest.NewRequest(http.MethodGet, "/", nil), f, fault.Context{RequestID: "id-1"})
	if w.Code != 503 || w.Header().Get("Content-Type") != "application/problem+json" || w.Header().Get("Retry-After") != "2" || w.Header().Get("X-Extra") != "1" {
		t.Errorf("got %d, %v", w.Code, w.Header())
	}
	want := `{"type":"https://github.com/weir-gateway/weir/blob/main/docs/problems/no-endpoint.md","title":"No instance of the backend is available.","status":503,"detail":"Try later.","code":"no-endpoint","request_id":"id-1"}` + "\n"
	if w.Body.String() != want {
		t.Errorf("got  %s\nwant %s", w.Body, want)
	}
}

func TestOnlyAVerboseAnswerTellsWhatIsForOperators(t *testing.T) {
	f := fault.BackendReset.New("", fault.Internal("endpoint 10.0.0.7"), fault.Cause(errors.New("connection reset")))
	for verbose, want := range map[bool]string{false: "", true: "endpoint 10.0.0.7: connection reset"} {
		w := httptest.NewRecorder()
		fault.Write(w, httptest.NewRequest(http.MethodGet, "/", nil), f, fault.Context{Verbose: verbose})
		var body struct{ Operator string }
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Operator != want {
			t.Errorf("verbose %v: got %q, %v, want %q", verbose, body.Operator, err, want)
		}
	}
}

func TestGRPCGetsTrailersOnly(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/shop.Orders/List", nil)
	r.ProtoMajor = 2
	r.Header.Set("Content-Type", "application/grpc+proto")
	w := httptest.NewRecorder()
	fault.Write(w, r, fault.NoEndpoint.New("später 100%"), fault.Context{})
	h := w.Header()
	if w.Code != 200 || h.Get("Grpc-Status") != "14" || h.Get("Grpc-Message") != "no-endpoint: sp%C3%A4ter 100%25" || w.Body.Len() != 0 {
		t.Errorf("got %d, %v, %q", w.Code, h, w.Body)
	}
}

func TestOnlyRealGRPCIsGRPC(t *testing.T) {
	for contentType, want := range map[string]bool{
		"application/grpc": true, "application/grpc+json": true, "application/grpc;x=1": true,
		"application/grpc-web": false, "application/grpcx": false, "application/json": false, "": false,
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.ProtoMajor = 2
		r.Header.Set("Content-Type", contentType)
		if fault.IsGRPC(r) != want {
			t.Errorf("%q: got %v", contentType, !want)
		}
		r.ProtoMajor = 1
		if fault.IsGRPC(r) {
			t.Errorf("%q over HTTP/1.1 is taken for gRPC", contentType)
		}
	}
}

func TestHeadHasNoBodyButItsLength(t *testing.T) {
	w := httptest.NewRecorder()
	fault.Write(w, httptest.NewRequest(http.MethodHead, "/", nil), fault.RouteNotFound.New(""), fault.Context{})
	if w.Body.Len() != 0 || w.Header().Get("Content-Length") == "0" || w.Header().Get("Content-Length") == "" {
		t.Errorf("got %q, %v", w.Body, w.Header())
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
