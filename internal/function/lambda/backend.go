package lambda

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/telemetry"
	"github.com/weir-gateway/weir/internal/cloud"
	"github.com/weir-gateway/weir/internal/cloud/aws"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/form/apigw"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// backend is one function. It implements function.Backend and function.Parted.
type backend struct {
	name     string
	platform *platform
	log      *slog.Logger
	life     *telemetry.Function
	attempts *telemetry.Backend
	format   apigw.Format
	mode     Mode
	sites    []*site // in the order in which they are tried
	whole    *view
	own      *cloud.Pool // the function's own limit
	retries  *cloud.Retries
	bounded  atomic.Pointer[bounds]
	failed   atomic.Pointer[lastFailure]
}

// bounds are the settings that may change while the function is being called.
type bounds struct {
	timeout time.Duration
	largest int64
	wait    time.Duration // for room
	asks    []exchange.Field
}

func (c *Config) bounds() *bounds {
	return &bounds{timeout: c.Timeout, largest: c.largest(), wait: c.Limits.Wait, asks: c.asks()}
}

// lastFailure is what the function reported about its most recent failure.
type lastFailure struct {
	at   time.Time
	what string
	tail []string
}

// view is the function at one of its versions or aliases.
type view struct {
	*backend

	qualifier string
}

// address is where the function is called in one region.
type address struct {
	region   string
	function string // its name in the API
	url      url.URL
	host     string // as it is signed
}

// site is the function in one region.
type site struct {
	address

	caller      aws.Caller
	credentials *aws.Credentials
	pool        poolKey
	calls       *cloud.Pool
	connection  connectionKey
	transport   *transport.Transport

	rest cloud.Rest
}

// The paths of the API's operations (API reference of AWS Lambda).
const (
	invokePath = "/2015-03-31/functions/%s/invocations"
	streamPath = "/2021-11-15/functions/%s/response-streaming-invocations"
)

// address derives where the function is called.
func (c *Config) address(region string) address {
	secure, host := c.endpoint().In(service, region)
	function := c.Lambda.In(region).FunctionName()
	path, scheme, port := invokePath, "https", ":443"
	if c.Mode == Stream {
		path = streamPath
	}
	if !secure {
		scheme, port = "http", ":80"
	}
	a := address{region: region, function: function, host: strings.TrimSuffix(host, port)}
	if u := (url.URL{Host: host}); u.Port() == "" {
		host += port
	}
	a.url = url.URL{
		Scheme: scheme, Host: host,
		Path: fmt.Sprintf(path, function), RawPath: fmt.Sprintf(path, url.QueryEscape(function)), // as AWS's SDKs do: ':' is %3A
	}
	return a
}

// aim turns r into a request to one version of the function.
func (a *address) aim(r *http.Request, qualifier string) {
	u := a.url
	if qualifier != "" {
		u.RawQuery = "Qualifier=" + url.QueryEscape(qualifier)
	}
	r.Method, r.URL, r.Host = http.MethodPost, &u, a.host
}

// RoundTrip invokes the function.
func (b *backend) RoundTrip(r *http.Request) (*http.Response, error) { return b.whole.RoundTrip(r) }

// RoundTrip invokes this version of the function.
func (v *view) RoundTrip(r *http.Request) (*http.Response, error) {
	c := call{view: v, r: r, bounds: v.bounded.Load()}
	res, err := c.run()
	if err != nil {
		v.life.Refused(err)
		if r.Body != nil {
			_ = r.Body.Close() // the contract of backends; the error that matters is err
		}
	}
	return res, err
}

// Part returns the function at an alias or a version.
func (b *backend) Part(qualifier string) (http.RoundTripper, error) {
	return &view{backend: b, qualifier: qualifier}, nil
}

// Tune takes over limits and timeouts of another config.
func (b *backend) Tune(cfg any) {
	c, ok := cfg.(*Config)
	if !ok {
		return // the compiler only tunes what Same has compared
	}
	b.bounded.Store(c.bounds())
	b.own.Tune(c.ownPool())
	b.platform.room.Tune(c.room)
	for _, s := range b.sites {
		s.calls.Tune(c.in.Pool(s.region))
	}
}

// Status reports the state of the function.
func (b *backend) Status() function.Status {
	s := function.Status{Note: fmt.Sprintf("AWS Lambda, %s, %s", b.format, b.mode)}
	own := b.own.Status()
	s.Busy, s.Queued = own.Busy, own.Waiting
	s.Remote = fmt.Sprintf("%s, %s; %d calls, %d wait", b.format, b.mode, own.Busy, own.Waiting)
	for _, at := range b.sites {
		account := at.calls.Status()
		line := fmt.Sprintf("%s in %s: %d of %d calls of the account", at.function, at.region, account.Busy, account.Limit)
		if at.rest.Resting() {
			line += ", rests"
		}
		s.Details = append(s.Details, line)
		if err := at.credentials.Problem(); err != nil {
			s.Problem = err.Error()
		}
	}
	if f := b.failed.Load(); f != nil {
		s.Details = append(s.Details, fmt.Sprintf("failed last at %s: %s", f.at.UTC().Format(time.DateTime), f.what))
		s.Details = append(s.Details, f.tail...)
	}
	return s
}
