package redirect

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/template"
)

// target is a Config ready to run.
type target struct {
	status       int
	scheme       string // "" the client's
	host         string // "" the client's; IPv6 in brackets
	port         int    // 0: see portOf
	listenerPort int
	absolute     bool
	path         func(*exchange.Exchange) (string, error) // nil: the client's
	query        *string                                  // nil: the client's
	note         string
}

// replace makes t replace a prefix of the client's path.
func (t *target) replace(prefix, replacement string) error {
	normal, err := httpx.NormalizePath(prefix)
	if err != nil {
		return fmt.Errorf("the prefix %q is no path: it begins with a slash and is written in its plain form", prefix)
	}
	if replacement != "" {
		other, err := httpx.NormalizePath("/" + strings.TrimPrefix(replacement, "/"))
		if err != nil {
			return fmt.Errorf("the replacement %q is no path in its plain form", replacement)
		}
		replacement = other.Text
	}
	t.path = func(x *exchange.Exchange) (string, error) {
		return template.Normal(template.ReplacePrefix(x.Path, normal.Text, replacement))
	}
	return nil
}

// adapt answers in place of the backend; next is never called.
func (t *target) adapt(http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Body != nil {
			_ = r.Body.Close() // it is not needed
		}
		location, err := t.location(exchange.Of(r))
		if err != nil {
			return nil, err
		}
		return exchange.NewResponse(r, t.status,
			exchange.Field{Name: "Location", Value: location}, exchange.Field{Name: "Content-Length", Value: "0"}), nil
	})
}

// location returns the Location field for an exchange. It never begins with two slashes, and names the client's own
// host only if another part of the origin changes: a relative Location cannot lead to a wrong host.
func (t *target) location(x *exchange.Exchange) (string, error) {
	path := x.Path
	if t.path != nil {
		var err error
		if path, err = t.path(x); err != nil {
			return "", err
		}
	}
	query := x.Query
	if t.query != nil {
		query = *t.query
	}
	b := make([]byte, 0, 128)
	if t.absolute {
		b = t.appendOrigin(b, x)
	}
	b = append(b, path...)
	if query != "" {
		b = append(append(b, '?'), query...)
	}
	return string(b), nil
}

// appendOrigin writes scheme://host[:port], or nothing if the client named no host and none is configured.
func (t *target) appendOrigin(b []byte, x *exchange.Exchange) []byte {
	scheme, host := t.scheme, t.host
	if scheme == "" {
		scheme = x.Client.Scheme
	}
	if host == "" {
		host = bracket(x.Host)
	}
	if host == "" {
		return b
	}
	b = append(append(append(b, scheme...), "://"...), host...)
	if port := t.portOf(x, scheme); port != "" {
		b = append(append(b, ':'), port...)
	}
	return b
}

// portOf returns the port to name, "" for none: the configured one; the default port if a scheme is configured; else
// the listener's, or the client's if the host is its own. The scheme's default port is never named.
func (t *target) portOf(x *exchange.Exchange, scheme string) string {
	var port string
	switch {
	case t.port != 0:
		port = strconv.Itoa(t.port)
	case t.scheme != "":
	case t.listenerPort != 0:
		port = strconv.Itoa(t.listenerPort)
	case t.host == "":
		_, port, _ = cutPort(x.Client.Host)
	}
	if scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		return ""
	}
	return port
}

// roundTripper makes a function an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
