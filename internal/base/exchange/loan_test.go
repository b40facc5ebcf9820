package exchange_test

import (
	"context"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/field"
	"github.com/weir-gateway/weir/internal/base/poison"
)

// A loan begins as NewRequest does, whatever was in it before; what was kept of the one before is found out.
func TestALoanBeginsEmpty(t *testing.T) {
	r := &http.Request{Header: exchange.Ordered("Accept", "*/*")}
	type key struct{}
	for n := range 100 {
		ctx := context.WithValue(t.Context(), key{}, n)
		l := exchange.Lend(ctx, r, exchange.RequestHead(r))
		head := exchange.RequestHead(&l.Request)
		if l.Request.Context().Value(key{}) != n || l.Request.Proto != "HTTP/1.1" || l.Request.Body != http.NoBody || l.Request.URL != nil || head.Len() != 0 {
			t.Fatalf("it begins as %+v with %d lines", &l.Request, head.Len())
		}
		l.Request.Method, l.Request.URL, l.URL.Path = http.MethodGet, &l.URL, "/kept"
		head.Add("X-Kept", "yes")
		kept := exchange.LinesOf(l.Request.Header).List()
		request, url := &l.Request, l.Request.URL
		l.GiveBack()
		if poison.On && (request.Context().Err() == nil || request.Method == http.MethodGet) {
			t.Fatalf("the one before is still %+v", request)
		}
		if url.Path == "/kept" || head.Len() != 0 || poison.On && kept[0] == field.Make("X-Kept", "yes") {
			t.Fatalf("the one before is still %q at %q", kept, url.Path)
		}
	}
}

// A loan for the same context, as that of a proxy is, is no other one than a loan for another.
func TestALoanOfTheSameContextBeginsEmpty(t *testing.T) {
	r, l := &http.Request{Header: exchange.Ordered("Accept", "*/*")}, new(exchange.Loan)
	l.Make(t.Context(), r, exchange.RequestHead(r))
	fresh := l.Request
	l.Request.Method, l.Request.URL, l.Request.Host, l.Request.Close = http.MethodPut, &l.URL, "kept", true
	l.Request.Proto, l.Request.ProtoMajor, l.Request.ProtoMinor = "HTTP/1.0", 0, 0
	l.Request.Body, l.Request.ContentLength = io.NopCloser(strings.NewReader("kept")), 4
	l.Request.GetBody = func() (io.ReadCloser, error) { return http.NoBody, nil }
	l.Request.TransferEncoding, l.Request.Trailer = []string{"chunked"}, http.Header{"X-Kept": nil}
	exchange.RequestHead(&l.Request).Add("X-Kept", "yes")
	l.End()
	if l.Make(t.Context(), r, exchange.RequestHead(r)); !reflect.DeepEqual(&l.Request, &fresh) || exchange.RequestHead(&l.Request).Len() != 0 {
		t.Errorf("it begins as %+v, not as %+v", &l.Request, &fresh)
	}
}

// Who has looked into the map of a request, as net/http does, has made it one that is not used again.
func TestALoanOfAPlainMapIsNotUsedAgain(t *testing.T) {
	r := &http.Request{Header: exchange.Ordered()}
	l := exchange.Lend(t.Context(), r, exchange.RequestHead(r))
	exchange.RequestHead(&l.Request).Add("X-Kept", "yes")
	exchange.Plain(&l.Request)
	kept := l.Request.Header
	l.GiveBack()
	if got := kept.Get("X-Kept"); got != "yes" {
		t.Errorf("its field is %q afterwards", got)
	}
	r = &http.Request{Header: http.Header{}}
	maps := exchange.Lend(t.Context(), r, exchange.RequestHead(r))
	exchange.RequestHead(&maps.Request).Add("X-Kept", "yes")
	kept = maps.Request.Header
	maps.GiveBack()
	if got := kept.Get("X-Kept"); got != "yes" {
		t.Errorf("the field of a map is %q afterwards", got)
	}
}

// lent is a body whose client made a head of lines.
type lent struct {
	exchange.Lent
	io.ReadCloser

	lines *exchange.Lines
}

func (l lent) Head() *exchange.Lines { return l.lines }

// TestAResponseHasTheHeadThatItsMapStandsFor: also where the body comes from a client that made another one, which a filter has replaced.
func TestAResponseHasTheHeadThatItsMapStandsFor(t *testing.T) {
	own := exchange.LinesOf(exchange.Ordered("X-From", "client"))
	gone := exchange.LinesOf(exchange.Ordered("X-From", "client"))
	exchange.MapHead(gone.Map()).Set("X-From", "nobody")
	for name, test := range map[string]struct {
		header http.Header
		lines  *exchange.Lines
		want   string
	}{
		"the client's":        {own.Map(), own, "client"},
		"a map of a filter's": {http.Header{"X-From": {"filter"}}, own, "filter"},
		"lines of a filter's": {exchange.Ordered("X-From", "filter"), own, "filter"},
		"none any more":       {exchange.Ordered("X-From", "filter"), nil, "filter"},
		"no map":              {nil, gone, ""},
	} {
		res := &http.Response{Header: test.header, Body: lent{lines: test.lines}}
		if got := exchange.ResponseHead(res).Get("X-From"); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
