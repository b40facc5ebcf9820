package jwt

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/jsonx"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// The bounds of what an issuer sends.
const (
	largestDiscovery = 64 << 10 // bytes
	discoveryAge     = time.Hour
	connectTime      = 5 * time.Second
)

// remote fetches the keys of an issuer. It follows no redirects and reads a bounded number of bytes. It must be used by
// one goroutine at a time.
type remote struct {
	issuer  string // its discovery says where the keys are; "" if keys is set
	keys    *url.URL
	trip    func(*http.Request) (*http.Response, error)
	allowed []string // algorithms
	told    func(problems []error)

	discovered *url.URL // the address of the keys, and when it was found
	at         time.Time
}

// fetch fetches the set. If the address of the keys is not known, it finds that first.
func (r *remote) fetch(ctx context.Context) (fetched, error) {
	at, err := r.where(ctx)
	if err != nil {
		return fetched{}, err
	}
	body, maxAge, err := r.get(ctx, at, largestSet)
	if err == nil {
		var set *keySet
		var problems []error
		if set, problems, err = parseSet(body, r.allowed); err == nil {
			r.told(problems)
			return fetched{set, maxAge}, nil
		}
	}
	r.discovered = nil // the keys may have moved
	return fetched{}, fmt.Errorf("%s: %w", at.Redacted(), err)
}

// where returns the address of the keys (OpenID Connect Discovery 1.0 section 4).
func (r *remote) where(ctx context.Context) (*url.URL, error) {
	if r.keys != nil {
		return r.keys, nil
	}
	if r.discovered != nil && time.Since(r.at) < discoveryAge {
		return r.discovered, nil
	}
	base, err := url.Parse(strings.TrimSuffix(r.issuer, "/") + "/.well-known/openid-configuration")
	if err != nil {
		return nil, err
	}
	body, _, err := r.get(ctx, base, largestDiscovery)
	if err == nil {
		r.discovered, err = readDiscovery(body, r.issuer, base)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", base, err)
	}
	r.at = time.Now()
	return r.discovered, nil
}

// readDiscovery reads jwks_uri from a provider's metadata, which must be that of issuer.
func readDiscovery(body []byte, issuer string, from *url.URL) (*url.URL, error) {
	v, err := jsonx.Parse(body, jsonx.Options{MaxBytes: largestDiscovery, MaxDepth: deepestToken, Unique: true})
	if err != nil {
		return nil, err
	}
	says, _ := v.Get("issuer")
	if says.Text() != issuer {
		return nil, fmt.Errorf("it is of the issuer %s, not %q; tokens have the same one, so write it exactly so, or ask who runs it", shorten(says.Text()), issuer)
	}
	uri, _ := v.Get("jwks_uri")
	u, err := url.Parse(uri.Text())
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.Fragment != "":
		return nil, fmt.Errorf("its jwks_uri is %s, which is not a URL that can be called", shorten(uri.Text()))
	case u.Scheme == "http" && (from.Scheme == "https" || u.Host != from.Host):
		return nil, fmt.Errorf("its jwks_uri is %s, which is not encrypted", shorten(uri.Text()))
	}
	return u, nil
}

// get fetches u and returns how long the answer may be kept.
func (r *remote) get(ctx context.Context, u *url.URL, most int64) (body []byte, maxAge time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, 0, err
	}
	exchange.SetFields(exchange.RequestHead(req), exchange.Field{Name: "Accept", Value: "application/json"}, exchange.Field{Name: "User-Agent", Value: "weir"})
	res, err := r.trip(req)
	if err != nil {
		return nil, 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("the answer is %d%s", res.StatusCode, whither(res))
	}
	body, err = io.ReadAll(io.LimitReader(res.Body, most+1))
	if err == nil && int64(len(body)) > most {
		err = fmt.Errorf("the answer has more than %d bytes", most)
	}
	return body, maxAgeOf(exchange.ResponseHead(res)), err
}

func whither(res *http.Response) string {
	if to := exchange.ResponseHead(res).Get("Location"); to != "" {
		return ", a redirect to " + shorten(to) + ", which is not followed"
	}
	return ""
}

// maxAgeOf reads Cache-Control (RFC 9111 section 5.2.2) and Age, or else Expires. It returns 0 if the response says
// nothing, and the smallest positive duration if it may not be kept.
func maxAgeOf(head exchange.Head) time.Duration {
	const atOnce = time.Nanosecond
	for field := range strings.SplitSeq(strings.Join(head.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return atOnce
		case "max-age":
			seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
			if err != nil {
				continue
			}
			age, _ := strconv.ParseUint(head.Get("Age"), 10, 31) // 0 if there is none
			return max(time.Duration(seconds)*time.Second-time.Duration(age)*time.Second, atOnce)
		}
	}
	if at, err := http.ParseTime(head.Get("Expires")); err == nil {
		return max(time.Until(at), atOnce)
	}
	return 0
}

// client makes the connections to issuers. named is the host of the URL in the config.
type client struct {
	named        string
	bounds       *egress.Bounds // of the way's group
	plain, https *transport.Transport
}

func newClient(named string, authorities []byte, bounds *egress.Bounds) (*client, error) {
	c := &client{named: named, bounds: bounds}
	secure, err := transport.Identity{CA: authorities}.TLS()
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	if c.plain, err = transport.New(transport.Options{Connect: connectTime, Dial: c.dial}); err != nil {
		return nil, err
	}
	c.https, err = transport.New(transport.Options{Connect: connectTime, Dial: c.dial, TLS: secure})
	return c, err
}

func (c *client) close() {
	c.plain.CloseIdle()
	c.https.CloseIdle()
}

// trip sends a request as it is: no redirects, cookies or credentials.
func (c *client) trip(req *http.Request) (*http.Response, error) {
	t, port := c.https, "443"
	if req.URL.Scheme == "http" {
		t, port = c.plain, "80"
	}
	req.Host = req.URL.Host
	if req.URL.Port() == "" {
		req.URL.Host = net.JoinHostPort(req.URL.Hostname(), port)
	}
	return t.RoundTrip(req)
}

// dial connects to an address that may be called: see callable. It decides about the address that a name resolves to
// when it connects.
func (c *client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	named := strings.EqualFold(host, c.named)
	literal, err := netip.ParseAddr(host)
	isLiteral := err == nil
	d := net.Dialer{Control: func(network, to string, raw syscall.RawConn) error {
		at, err := netip.ParseAddrPort(to)
		if err != nil {
			return err
		}
		if err := c.bounds.Control(network, to, raw); err != nil {
			return err
		}
		if named && isLiteral && literal.Unmap() == at.Addr().Unmap() {
			return nil // the config names this exact address
		}
		return callable(at.Addr(), named)
	}}
	return d.DialContext(ctx, network, address)
}

// callable says why an address may not be called. The host of the config's own URL may resolve to a private address,
// because many issuers are internal. A host that an issuer's answer names may not: otherwise a stranger's document
// could choose whom the gateway calls.
func callable(ip netip.Addr, named bool) error {
	switch kind := egress.KindOf(ip); {
	case kind == egress.Public, named && kind <= egress.Loopback:
		return nil
	case kind <= egress.Loopback:
		return fmt.Errorf("%s is %s, and the config does not name it", ip, kind)
	default:
		return fmt.Errorf("%s is %s, and no issuer's", ip, kind)
	}
}
