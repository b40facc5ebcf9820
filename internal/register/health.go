package register

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/process"
)

// Health says how to check whether a program is healthy.
type Health struct {
	// Path is requested over HTTP; a status of 2xx or 3xx is healthy. "": the program is healthy if something listens
	// on its port.
	Path string
	// None makes no checks: a program that runs is healthy.
	None bool
	// Anybody accepts any process that listens on the port, for example a container engine that does so for the
	// program. Otherwise the listener must be the program or a process that it has started, if the system can tell
	// (Linux).
	Anybody bool
	// Every is the pause between two checks, and Doubt the pause before the first good one and after a failed one.
	// Timeout is how long a check may take. After Failures failed checks in a row the program is replaced.
	Every, Doubt, Timeout time.Duration
	Failures              int
}

// checker checks one start of a program.
type checker struct {
	Health

	address   netip.AddrPort
	transport *http.Transport
}

func (h Health) at(address netip.AddrPort) *checker {
	return &checker{Health: h, address: address, transport: &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10}}
}

func (c *checker) close() { c.transport.CloseIdleConnections() }

// errStranger says that the process that answers is not the program.
var errStranger = errors.New("who answers is not the program")

// own says why the process that has answered is not p. It returns nil if it is p, or if that cannot be known.
func (c *checker) own(p *process.Process) error {
	switch {
	case p.Ended():
		return errors.New("the program has ended")
	case c.None || c.Anybody:
		return nil
	}
	if own, known := p.Listens(c.address); known && !own {
		return errStranger
	}
	return nil
}

// ask says why the program is not healthy, or returns nil if it is.
func (c *checker) ask(ctx context.Context) error {
	if c.None {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if c.Path == "" {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.address.String())
		if err != nil {
			return err
		}
		return conn.Close()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.address.String()+"/"+strings.TrimPrefix(c.Path, "/"), nil)
	if err != nil {
		return err
	}
	exchange.RequestHead(r).Set("User-Agent", "weir-register")
	res, err := c.transport.RoundTrip(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return err
	}
	if res.StatusCode < http.StatusOK || res.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s answers %d", c.Path, res.StatusCode)
	}
	return nil
}
