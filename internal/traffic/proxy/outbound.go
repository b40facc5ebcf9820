package proxy

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/forward"
)

// outbound builds the request to the backend out of the parts that the exchange
// has agreed on.
func (t *passage) outbound(ctx context.Context) {
	in := exchange.RequestHead(t.r)
	t.out = exchange.Lend(ctx, t.r)
	t.out.URL = target(t.exchange.Path, t.exchange.Query)
	out := &t.out.Request
	out.Method, out.URL, out.Host = t.r.Method, &t.out.URL, t.host()
	head := exchange.RequestHead(out)
	forward.Request(head, in, t.exchange.Client, t.exchange.ID, version(t.r))
	if t.r.ContentLength == 0 || t.r.Body == nil || t.r.Body == http.NoBody {
		if protocol := forward.UpgradeOf(in); protocol != "" && t.r.ProtoMajor == 1 {
			t.upgrade = protocol
			forward.SetUpgrade(head, protocol)
		}
		return
	}
	t.attachBody(out)
	if in.Get("Expect") != "" {
		head.Set("Expect", "100-continue")
		// The body's first read writes the 100 from another goroutine; an early hint
		// at the same moment would be worth less than the lock.
		t.exchange.Informational = nil
	}
}

func (t *passage) host() string {
	if t.Host != "" {
		return t.Host
	}
	return t.r.Host
}

// target is the normalised path as a URL that net/http writes byte for byte.
func target(path, query string) url.URL {
	u := url.URL{Path: path, RawPath: path, RawQuery: query}
	if strings.IndexByte(path, '%') >= 0 {
		if decoded, err := url.PathUnescape(path); err == nil {
			u.Path = decoded
		}
	}
	return u
}

// version is the client's protocol version as Via writes it.
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

// attachBody streams the client's body, and its trailers where it announced any.
func (t *passage) attachBody(out *http.Request) {
	t.body = &body{passage: t, left: t.BodyBytes, limited: t.BodyBytes > 0, source: t.r.Body}
	out.Body, out.ContentLength = t.body, t.r.ContentLength
	if names := allowedTrailers(exchange.RequestTrailer(t.r)); len(names) > 0 {
		exchange.AnnounceTrailers(out, names)
		t.body.announced, t.body.outbound = names, out
		out.ContentLength = -1 // over HTTP/1.1 only a chunked body has trailers
	}
	t.watch.begin()
	if t.r.ProtoMajor == 1 {
		_ = t.control().EnableFullDuplex() // a writer that cannot is one that need not
	}
}

// allowedTrailers gives the names of a trailer section that may be passed on.
func allowedTrailers(section exchange.Head) []string {
	return slices.DeleteFunc(section.Names(), func(name string) bool { return !forward.TrailerAllowed(name) })
}
