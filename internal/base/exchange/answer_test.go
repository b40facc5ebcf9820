package exchange_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
)

func TestOnlyRealGRPCIsAnsweredAsGRPC(t *testing.T) {
	for _, tt := range []struct {
		contentType string
		major       int
		grpc        bool
	}{
		{"application/grpc", 2, true},
		{"application/grpc+json", 2, true},
		{"application/grpc;x=1", 2, true},
		{"application/grpc", 1, false},
		{"application/grpc-web", 2, false},
		{"application/grpcx", 2, false},
		{"application/json", 2, false},
		{"", 2, false},
	} {
		r := httptest.NewRequest(http.MethodPost, "/shop.Orders/List", nil)
		r.ProtoMajor = tt.major
		r.Header.Set("Content-Type", tt.contentType)
		w := httptest.NewRecorder()
		exchange.Refuse(w, r, fault.NoEndpoint.New(""))
		if got := w.Header().Get("Grpc-Status") == "14" && w.Code == 200 && w.Body.Len() == 0; got != tt.grpc {
			t.Errorf("%q over HTTP/%d: %d %v", tt.contentType, tt.major, w.Code, w.Header())
		}
	}
}

func TestARefusalReplacesFieldsAndHasNoBodyForHead(t *testing.T) {
	f := fault.MethodNotAllowed.New("", fault.WithField("Allow", "GET"), fault.WithField("Allow", "HEAD"))
	for method, body := range map[string]bool{http.MethodGet: true, http.MethodHead: false} {
		w := httptest.NewRecorder()
		w.Header().Set("Allow", "POST")
		exchange.Refuse(w, httptest.NewRequest(method, "/", nil), f)
		if w.Code != 405 || !slices.Equal(w.Header()["Allow"], []string{"GET", "HEAD"}) {
			t.Errorf("%s: %d %v", method, w.Code, w.Header())
		}
		if length := w.Header().Get("Content-Length"); (w.Body.Len() > 0) != body || length == "" || length == "0" {
			t.Errorf("%s: %q, length %s", method, w.Body, length)
		}
	}
}

// What ends after the time that the client gave has ended for that, whatever a backend made of it.
func TestACallThatIsOutOfTimeIsToldSo(t *testing.T) {
	for _, tt := range []struct {
		given, status string
	}{
		{"1m", "4"}, {"1000u", "4"}, {"99999999n", "4"}, {"1S", "4"}, {"59M", "14"}, {"99999999H", "14"},
		{"", "14"}, {"m", "14"}, {"1", "14"}, {"1x", "14"}, {"-1S", "14"}, {"999999999n", "14"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/shop.Orders/List", nil)
		r.ProtoMajor = 2
		r.Header.Set("Content-Type", "application/grpc")
		if tt.given != "" {
			r.Header.Set("Grpc-Timeout", tt.given)
		}
		x := &exchange.Exchange{Start: time.Now().Add(-time.Minute)}
		recorded := httptest.NewRecorder()
		w, r := exchange.Begin(recorded, r, x)
		exchange.Fail(w, fault.BackendReset.New(""))
		w.Finish(nil)
		if got := recorded.Header().Get("Grpc-Status"); got != tt.status {
			t.Errorf("%q of a call that took a minute: status %s, not %s", r.Header.Get("Grpc-Timeout"), got, tt.status)
		}
	}
}
