// Package transport sends requests to endpoints: an http.RoundTripper per protocol and TLS identity, which keeps
// connections, says how much of a failed request was sent (exchange.SendError), passes 1xx responses on and hands out
// upgraded connections with half-close.
//
// Over HTTP/1.1 with the engine own, it uses an http1.Client. Otherwise it uses net/http's Transport, stripped of
// everything that a gateway must not do: no proxy from the environment, no redirects, no compression of its own, no Go
// User-Agent. One of its habits cannot be switched off: a request without a body whose method is safe (or that has an
// Idempotency-Key) is sent once more, to the same endpoint, when a kept connection turns out to be closed before any
// byte of a response. RFC 9110 section 9.2.2 allows every client to do that. It is reported as an attempt of its own
// (exchange.Exchange.Attempts), and over HTTP/2, where net/http would go on for a minute, it is limited to one.
package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/http1"
	"github.com/weir-gateway/weir/internal/wire/proxyproto"
)

// The protocols of Options.
const (
	HTTP = "http" // HTTP/1.1
	H2   = "h2"   // HTTP/2 over TLS
	H2C  = "h2c"  // HTTP/2 in the clear, by prior knowledge
	GRPC = "grpc" // H2 with a TLS config, otherwise H2C
)

// Defaults of Options.
const (
	DefaultConnect         = 2 * time.Second
	DefaultIdle            = 4 * time.Second
	DefaultIdlePerEndpoint = 256
	DefaultHeadBytes       = 64 << 10
)

// Times that hold for every transport.
const (
	tcpKeepAlive  = 15 * time.Second
	h2Ping        = 15 * time.Second // after this a silent HTTP/2 connection is asked whether it is alive
	h2PingTimeout = 5 * time.Second
	continueWait  = time.Second // for a backend's 100 Continue, after which the body is sent anyway
)

// Announcement says how endpoints are told by the PROXY protocol which client sent a request. Each connection then
// belongs to one client for as long as it is kept.
type Announcement string

// The versions of the PROXY protocol.
const (
	NotAnnounced Announcement = ""
	AnnouncedV1  Announcement = "v1"
	AnnouncedV2  Announcement = "v2"
)

func (a Announcement) header(client proxyproto.Header) []byte {
	if a == AnnouncedV1 {
		return client.AppendV1(nil)
	}
	return client.AppendV2(nil)
}

// Options say how endpoints are spoken to. The zero value speaks plain HTTP/1.1
// with the defaults above.
type Options struct {
	Protocol string      // HTTP (the default), H2, H2C or GRPC
	TLS      *tls.Config // nil: plain; H2 needs one. ServerName "" means the endpoint's host
	// Connect bounds the time to get a connection, including the TLS handshake.
	Connect time.Duration
	// Idle is how long an unused connection is kept. The default is shorter than the keep-alive time of the usual
	// servers (Node: 5 s), so that the backend hardly ever closes first, while a request is on its way.
	Idle            time.Duration
	IdlePerEndpoint int   // unused connections kept per endpoint
	HeadBytes       int64 // the largest response head, 1xx responses included
	Announce        Announcement
	// Bounds are where endpoints may be, checked against the address that a name was resolved to; nil bounds nothing.
	// Connections are kept per Transport, so requests with other bounds need a Transport of their own.
	Bounds *egress.Bounds
	// Dial replaces the TCP dialler, and must itself enforce any bounds; nil: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Engine is what speaks HTTP/1.1; "" is config.StdEngine. HTTP/2 is net/http's with any engine.
	Engine config.Engine
}

// Transport is an http.RoundTripper whose req.URL.Host is an endpoint's address, host:port or unix:/path, or what Host
// has made of it. It keeps package exchange's rules for backends: errors are *exchange.SendError or *fault.Fault, and
// the request's body is always closed. If the body has the method Sever(), the Transport calls it when the connection
// is lost and net/http waits for a Read of the body; it must end that Read.
//
// A response's body also has the method OnEnd(exchange.Ending), which must be called before the body is used. The
// Ending is called once, when the body was read to its end (how is io.EOF), broke off (how is why) or was closed before
// (nil). Its method Late() bool reports whether the response may be an answer to a connection that was unused for too
// long. The body of a 101 response is an io.ReadWriteCloser with CloseWrite() error. A Transport is safe for concurrent
// use.
type Transport struct {
	own    *http1.Client // nil: inner is used
	inner  http.Transport
	scheme string
	multi  bool // several requests share a connection

	announce Announcement
}

// New makes a Transport; it opens nothing. It fails on an unknown protocol and
// on H2 without TLS.
func New(o Options) (*Transport, error) {
	protocol, err := protocolOf(o)
	if err != nil {
		return nil, err
	}
	d := dialer{dial: o.Dial, connect: orDefault(o.Connect, DefaultConnect), announce: o.Announce}
	if d.dial == nil {
		d.dial = (&net.Dialer{KeepAlive: tcpKeepAlive, Control: o.Bounds.Control}).DialContext
	}
	t := &Transport{scheme: "http", multi: protocol != HTTP, announce: o.Announce}
	if o.TLS != nil {
		t.scheme = "https"
		d.tls = o.TLS.Clone()
		d.tls.NextProtos = []string{alpn(protocol)}
	}
	t.inner = http.Transport{
		DialContext:            d.plain,
		DialTLSContext:         d.secure,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    orDefault(o.IdlePerEndpoint, DefaultIdlePerEndpoint),
		IdleConnTimeout:        orDefault(o.Idle, DefaultIdle),
		ExpectContinueTimeout:  continueWait,
		MaxResponseHeaderBytes: orDefault(o.HeadBytes, DefaultHeadBytes),
		Protocols:              new(http.Protocols),
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: h2Ping, PingTimeout: h2PingTimeout},
	}
	t.inner.Protocols.SetHTTP1(protocol == HTTP)
	t.inner.Protocols.SetHTTP2(protocol == H2)
	t.inner.Protocols.SetUnencryptedHTTP2(protocol == H2C)
	if o.Engine == config.OwnEngine && protocol == HTTP && http1.ClientKeeps {
		t.own = newOwn(&d, o)
	}
	return t, nil
}

func protocolOf(o Options) (string, error) {
	switch {
	case o.Protocol == "":
		return HTTP, nil
	case o.Protocol == GRPC && o.TLS != nil:
		return H2, nil
	case o.Protocol == GRPC:
		return H2C, nil
	case o.Protocol == H2 && o.TLS == nil:
		return "", errors.New(`protocol "h2" needs TLS; HTTP/2 in the clear is "h2c"`)
	case o.Protocol == H2C && o.TLS != nil:
		return H2, nil
	case o.Protocol == HTTP, o.Protocol == H2, o.Protocol == H2C:
		return o.Protocol, nil
	default:
		return "", errors.New("unknown protocol " + o.Protocol + "; there are http, h2, h2c and grpc")
	}
}

func alpn(protocol string) string {
	if protocol == HTTP {
		return "http/1.1"
	}
	return "h2"
}

func orDefault[T int | int64 | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// CloseIdle closes the connections that no request uses.
func (t *Transport) CloseIdle() {
	t.inner.CloseIdleConnections()
	if t.own != nil {
		t.own.CloseIdle()
	}
}

// Connect makes a connection to host, which has the form of RoundTrip's req.URL.Host, with TLS if that is configured,
// and closes it. It does not use or keep any pooled connection.
func (t *Transport) Connect(ctx context.Context, host string) error {
	dial := t.inner.DialContext
	if t.scheme == "https" {
		dial = t.inner.DialTLSContext
	}
	conn, err := dial(ctx, "tcp", host)
	if err != nil {
		return err
	}
	_ = conn.Close() // nothing was sent on it
	return nil
}

// RoundTrip sends req to the endpoint req.URL.Host.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t.own != nil {
		t.address(req)
		return t.own.RoundTrip(req)
	}
	return t.roundTripWithin(req)
}

// roundTripWithin is RoundTrip through net/http's Transport.
func (t *Transport) roundTripWithin(req *http.Request) (*http.Response, error) {
	exchange.Plain(req) // net/http reads the maps
	head := exchange.RequestHead(req)
	if t.multi && forward.UpgradeOf(head) != "" {
		closeBody(req)
		return nil, fault.UpgradeRefused.New("The backend speaks HTTP/2, which has no upgrade.")
	}
	if len(head.Values("User-Agent")) == 0 {
		head.Set("User-Agent", "") // otherwise net/http sends its own
	}
	req.URL.Scheme = t.scheme
	a := t.newAttempt(req)
	t.address(req)
	if req.Body != nil && req.Body != http.NoBody && (t.multi || isSeverable(req.Body)) {
		a.content = &content{ReadCloser: req.Body, attempt: a}
	}
	out := a.request(req)
	res, err := t.inner.RoundTrip(out)
	if a.content != nil && a.conn != nil {
		a.conn.tells.CompareAndSwap(a.content, nil)
	}
	if a.hints.End(); err != nil {
		return nil, a.failed(err)
	}
	res.Body = a.body(res, t.inner.IdleConnTimeout)
	return res, nil
}

// address sets the host of the URL to the name of the connections that req may use, and ensures that there is a Host.
func (t *Transport) address(req *http.Request) {
	if req.Host == "" { // the URL's host may be a place
		req.Host = endpointOf(req.URL.Host).authority()
	}
	if t.announce != NotAnnounced {
		at := endpointOf(req.URL.Host)
		at.client = announced(req.Context())
		req.URL.Host = at.host(placeSuffix)
	} else if strings.HasPrefix(req.URL.Host, unixPrefix) || strings.HasSuffix(req.URL.Host, placeSuffix) { // only we write places
		req.URL.Host = place{endpoint: req.URL.Host}.host(placeSuffix)
	}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // it is given up, whatever the error
	}
}
