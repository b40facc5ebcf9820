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

// Check is one way to ask, and what follows from the answers.
type Check struct {
	config.Health

	// Fields are what Health.Headers hold.
	Fields []exchange.Field
}

// String tells checks apart.
func (c *Check) String() string { return fmt.Sprintf("%s %q", c.Key(), c.Fields) }

// Caller reaches endpoints by connections of its own, with the bounds and the TLS of who
// is checked. *transport.Transport is one; both take what transport.Host gives.
type Caller interface {
	http.RoundTripper
	// Connect makes a connection, TLS included, and closes it.
	Connect(ctx context.Context, host string) error
}

// Target is who is asked. The fields are those of discovery.Endpoint.
type Target struct{ ID, Address, Fallback, Name string }

// host is what stands for the target in a URL. Another port is not where the requests go.
func (t Target) host(port int) string {
	if port != 0 {
		t.Address, t.Fallback = atPort(t.Address, port), atPort(t.Fallback, port)
	}
	return transport.Host(t.Address, t.Fallback, t.Name, t.ID)
}

// atPort puts another port to an address; a Unix socket and none at all have none.
func atPort(address string, port int) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil || strings.HasPrefix(address, "unix:") {
		return address
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// agent is who asks.
const agent = "weir-health"

// ask asks once, and gives why the target does not serve, nil where it does. It ends with
// ctx, and keeps no connection.
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
	_ = res.Body.Close() // what it says is nobody's business, and the connection goes with it
	if !c.Expects(res.StatusCode) {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}

// newRequest makes a question that goes on no kept connection, and leaves none.
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

// why is what operators are told of a question that failed.
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
