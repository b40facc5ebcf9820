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

// Health says how a program is asked whether it is healthy.
type Health struct {
	// Path is asked over HTTP, and a status of 2xx or 3xx is healthy. "": that somebody listens.
	Path string
	// None asks nothing: a program that runs is healthy.
	None bool
	// Anybody takes whoever listens on the port for the program, as where a container engine does so for it.
	// Otherwise it must be the program, or one that it has started, where the system tells that (Linux).
	Anybody bool
	// Every is the pause between two checks, Doubt that before the first good one and after one that
	// failed, Timeout how long one may take, Failures how many in a row replace the program.
	Every, Doubt, Timeout time.Duration
	Failures              int
}

// checker asks one start of a program.
type checker struct {
	Health

	address   netip.AddrPort
	transport *http.Transport
}

func (h Health) at(address netip.AddrPort) *checker {
	return &checker{Health: h, address: address, transport: &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10}}
}

func (c *checker) close() { c.transport.CloseIdleConnections() }

// errStranger says that who answers is not the program.
var errStranger = errors.New("who answers is not the program")

// own tells why who has answered is not p, nil where it is, or nobody knows.
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

// ask tells why the program is not healthy, nil where it is.
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
