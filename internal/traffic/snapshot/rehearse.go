package snapshot

import (
	"net/http"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// rehearse sends a copy of r down the chain to the backend, with an end that records what arrives. If nothing arrives,
// it returns what the client would be answered.
func (n *BackendNote) rehearse(r *http.Request) (*Outbound, *Answer) {
	var got *Outbound
	var added []string
	road := n.Rehearse(roundTripper(func(r *http.Request) (*http.Response, error) {
		got = &Outbound{Method: r.Method, Host: r.Host, Target: r.URL.RequestURI(), Adds: added}
		return exchange.NewResponse(r, http.StatusNoContent), nil
	}), func(texts ...string) { added = append(added, texts...) })
	copied := exchange.Detach(r)
	x := exchange.Of(copied)
	writer, copied := exchange.Begin(exchange.Nowhere(), copied, x)
	road.ServeHTTP(writer, copied)
	writer.Finish(nil)
	if got != nil {
		return got, nil
	}
	answer := &Answer{Status: writer.Status(), Location: writer.Head().Get("Location")}
	if x.Fault != nil {
		answer.Code, answer.Detail = x.Fault.Code, x.Fault.Detail
	}
	return nil, answer
}

// roundTripper makes a function an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
