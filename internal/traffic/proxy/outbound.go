package proxy

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/field"
	"github.com/weir-gateway/weir/internal/base/forward"
)

// outbound builds the request to the backend from the parts on which the exchange
// has settled.
func (t *passage) outbound() {
	if t.out == nil {
		t.out = new(exchange.Loan)
	}
	t.out.Make(&t.ctx, t.r, t.in)
	setTarget(&t.out.URL, t.exchange.Path, t.exchange.Query)
	out := &t.out.Request
	t.ctx.Entrust(out, t.exchange)
	out.Method, out.URL, out.Host = t.r.Method, &t.out.URL, t.host()
	head := t.out.Head()
	forward.Request(head, t.in, t.exchange, version(t.r), t.Withheld)
	if t.body == nil {
		if t.came.Has(field.Upgrade) && t.r.ProtoMajor == 1 {
			t.askUpgrade(head)
		}
		return
	}
	t.attachBody(out)
	if t.expects() != "" {
		head.Set("Expect", "100-continue")
		// The body's first read writes the 100 from another goroutine; an early hint at the
		// same moment is worth less than the lock that it would need.
		t.exchange.Informational = nil
	}
}

// askUpgrade asks the backend for the protocol that the client asks for.
func (t *passage) askUpgrade(head exchange.Head) {
	if t.upgrade = forward.UpgradeOf(t.in); t.upgrade != "" {
		forward.SetUpgrade(head, t.upgrade)
	}
}

func (t *passage) host() string {
	if t.Host != "" {
		return t.Host
	}
	return t.r.Host
}

// setTarget sets u to the normalised path, which net/http writes byte for byte.
func setTarget(u *url.URL, path, query string) {
	*u = url.URL{}
	u.Path, u.RawPath, u.RawQuery = path, path, query
	if strings.IndexByte(path, '%') >= 0 {
		if decoded, err := url.PathUnescape(path); err == nil {
			u.Path = decoded
		}
	}
}

// version returns the client's protocol version in the form that Via uses.
func version(r *http.Request) string {
	switch {
	case r.ProtoMajor == 1 && r.ProtoMinor == 1:
		return "1.1"
	case r.ProtoMajor == 1:
		return "1.0"
	default:
		return strconv.Itoa(r.ProtoMajor)
	}
}

// attachBody attaches the client's body to out, as a stream or as what was read ahead,
// and announces the trailers that the client announced.
func (t *passage) attachBody(out *http.Request) {
	b := t.body
	out.Body, out.ContentLength = b, t.r.ContentLength
	if len(b.announced) > 0 {
		exchange.AnnounceTrailers(out, b.announced)
		b.outbound = out
		out.ContentLength = -1 // over HTTP/1.1 only a chunked body has trailers
	}
	if !b.whole.Load() {
		return
	}
	b.all, b.isHeld = b.ahead, true
	b.ahead = nil
	b.held.Reset(b.all)
	out.GetBody, out.Body = b.again, b.content
	b.passTrailers()
}
