package exchange_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
)

// sink is a response writer without a connection, used again and again.
type sink struct{ header http.Header }

func (s sink) Header() http.Header         { return s.header }
func (s sink) Write(p []byte) (int, error) { return io.Discard.Write(p) }
func (s sink) WriteHeader(int)             {}

func BenchmarkFail(b *testing.B) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w := sink{http.Header{}}
	f := fault.MethodNotAllowed.New("Allowed here: GET.")
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		ew, _ := exchange.Begin(w, r, &exchange.Exchange{ID: "id-1"})
		ew.Fail(f)
	}
}

func BenchmarkRespond(b *testing.B) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w := sink{http.Header{}}
	backend := exchange.MapHead(http.Header{"Content-Type": {"text/plain"}, "Date": {"today"}, "Content-Length": {"2"}, "Cache-Control": {"no-store"}})
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		ew, _ := exchange.Begin(w, r, &exchange.Exchange{ID: "id-1"})
		exchange.CopyAll(ew.Head(), backend)
		ew.WriteHeader(http.StatusOK)
	}
}
