package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// Check is one way to check a target, and what follows from the answers.
type Check struct {
	config.Health

	// Fields are the header fields from Health.Headers.
	Fields []exchange.Field
}

// String returns a text that differs between different checks.
func (c *Check) String() string { return fmt.Sprintf("%s %q", c.Key(), c.Fields) }

// Caller reaches endpoints over connections of its own, with the bounds and the TLS settings of the service that is
// checked. *transport.Transport implements it; both accept the hosts that transport.Host returns.
type Caller interface {
	http.RoundTripper
	// Connect makes a connection, TLS included, and closes it.
	Connect(ctx context.Context, host string) error
}

// Target is the endpoint to check. The fields are those of discovery.Endpoint.
type Target struct{ ID, Address, Fallback, Name string }

// host returns the target's host in a URL. port, if set, is used instead of the port to which requests go.
func (t Target) host(port int) string {
	if port != 0 {
		t.Address, t.Fallback = atPort(t.Address, port), atPort(t.Fallback, port)
	}
	return transport.Host(t.Address, t.Fallback, t.Name, t.ID)
}

// atPort puts another port into an address. A Unix socket and an empty address have no port and stay as they are.
func atPort(address string, port int) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil || strings.HasPrefix(address, "unix:") {
		return address
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// agent is the User-Agent of checks.
const agent = "weir-health"

// ask checks the target once, and returns why the target does not serve, nil if it does. It ends with ctx, and keeps no
// connection.
func ask(ctx context.Context, t Target, c *Check, by Caller) error {
	switch c.Check {
	case config.CheckTCP:
		return by.Connect(ctx, t.host(c.Port))
	case config.CheckGRPC:
		return askGRPC(ctx, t, c, by)
	default:
		return askHTTP(ctx, t, c, by)
	}
}

func askHTTP(ctx context.Context, t Target, c *Check, by Caller) error {
	req, err := newRequest(ctx, http.MethodGet, t, c, c.Path)
	if err != nil {
		return err
	}
	res, err := by.RoundTrip(req)
	if err != nil {
		return err
	}
	_ = res.Body.Close() // the content does not matter, and the connection is closed with it
	if !c.Expects(res.StatusCode) {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}

// newRequest builds the request of a check, which uses no kept connection and leaves none.
func newRequest(ctx context.Context, method string, t Target, c *Check, path string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://x"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.URL.Host, req.Host, req.Close = t.host(c.Port), c.Host, true
	head := exchange.RequestHead(req)
	head.Set("User-Agent", agent)
	for _, field := range c.Fields {
		head.Set(field.Name, field.Value)
	}
	return req, nil
}

// why returns what operators are told about a failed check.
func why(err error, within time.Duration) string {
	if send, ok := errors.AsType[*exchange.SendError](err); ok {
		if errors.Is(send.Err, context.DeadlineExceeded) || send.Timeout {
			return fmt.Sprintf("no answer within %s", within)
		}
		return send.Err.Error()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer within %s", within)
	}
	return err.Error()
}
