package transport

import (
	"context"
	"net"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/wire/http1"
)

// mostFields is how many lines the head of a response may have.
const mostFields = 1000

// newOwn makes the client of our own engine. It dials as net/http's Transport does in this package.
func newOwn(d *dialer, o Options) *http1.Client {
	open, port := d.bare, ":80"
	if o.TLS != nil {
		open, port = d.secure, ":443"
	}
	return http1.NewClient(http1.ClientOptions{
		Dial: func(ctx context.Context, host string) (net.Conn, error) {
			address := host
			if strings.LastIndexByte(host, ':') <= strings.LastIndexByte(host, ']') {
				address += port
			}
			conn, err := open(ctx, "tcp", address)
			if err != nil {
				e := &exchange.SendError{Endpoint: nameOf(host), Err: err}
				tellDial(e)
				return nil, e
			}
			return conn, nil
		},
		Endpoint:     nameOf,
		Idle:         orDefault(o.Idle, DefaultIdle),
		IdlePerHost:  orDefault(o.IdlePerEndpoint, DefaultIdlePerEndpoint),
		Limits:       http1.Limits{HeadBytes: int(orDefault(o.HeadBytes, DefaultHeadBytes)), HeadFields: mostFields},
		ContinueWait: continueWait,
	})
}

// nameOf returns what errors call the endpoint behind a host of a URL.
func nameOf(host string) string { return placeOf(host).endpoint }
