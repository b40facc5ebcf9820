package secureheaders

import (
	"net/http"

	"github.com/weir-gateway/weir/internal/base/exchange"
)

// policy is a Config ready to run.
type policy struct {
	fields []field
	hidden []string // canonical names
}

// guard queues the fields for every response, including the gateway's own errors. Fields that a backend sets itself are
// kept: it knows its pages better.
func (p *policy) guard(next http.Handler) http.Handler {
	plain, secure := p.operation(false), p.operation(true)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchange.Of(r)
		if x.Client.Scheme == "https" {
			x.OnHead(secure)
		} else {
			x.OnHead(plain)
		}
		next.ServeHTTP(w, r)
	})
}

// operation returns the change of a response's head, with HTTPS or without: a browser must not be told over plain HTTP
// to use HTTPS (RFC 6797 section 7.2).
func (p *policy) operation(secure bool) func(int, exchange.Head) {
	return func(_ int, head exchange.Head) {
		for _, name := range p.hidden {
			head.Del(name)
		}
		for _, f := range p.fields {
			if (secure || !f.secure) && len(head.Values(f.name)) == 0 {
				head.Set(f.name, f.value)
			}
		}
	}
}
