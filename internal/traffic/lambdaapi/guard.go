package lambdaapi

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/loopback"
	"github.com/weir-gateway/weir/internal/base/sigv4"
)

// maxPayload is the largest synchronous payload, maxEvent the largest asynchronous one. Both are AWS's quotas.
const (
	maxPayload = 6 << 20
	maxEvent   = 1 << 20
)

// admit checks whether the client may call, and reads the body.
func (a *API) admit(c *call, verifier *sigv4.Verifier, limit int64) error {
	if verifier == nil {
		if err := a.near(c); err != nil {
			return err
		}
		return c.read(limit)
	}
	path, query, _ := strings.Cut(c.r.RequestURI, "?")
	claim, err := verifier.Open(sigv4.Request{
		Method: c.r.Method, Path: path, Query: query, Host: c.r.Host, Head: exchange.RequestHead(c.r), Length: c.r.ContentLength,
	})
	if err != nil {
		return err //nolint:wrapcheck // fail tells it in AWS's words
	}
	if err := c.read(limit); err != nil {
		return err
	}
	if err := claim.Confirm(sha256.Sum256(c.body)); err != nil {
		return err //nolint:wrapcheck // fail tells it in AWS's words
	}
	c.x.Identity = &exchange.Identity{Method: "sigv4", Subject: claim.KeyID}
	return nil
}

// near checks, for an API without keys, that the client is on this machine.
func (a *API) near(c *call) error {
	switch {
	case loopback.OfPage(c.r):
		return accessDenied.about("Without keys, this API does not answer web pages.")
	case !loopback.Peer(c.r.RemoteAddr) || c.x.Client.IP.IsValid() && !c.x.Client.IP.IsLoopback() || exchange.RequestHead(c.r).Get("Via") != "":
		return accessDenied.about("Without keys, this API answers clients on its own machine only: set lambda_api.keys.")
	case !loopback.Host(c.r.Host):
		return accessDenied.about("Without keys, this API answers to localhost and loopback addresses only, not to %.253q.", c.r.Host)
	}
	return nil
}

// read reads the body, at most limit bytes of it.
func (c *call) read(limit int64) error {
	if c.r.Body != nil && c.r.Body != http.NoBody {
		c.r.Body = &heldBody{c.r.Body, c}
	}
	var err error
	c.body, err = exchange.ReadBody(c.r, limit)
	c.x.Received += int64(len(c.body))
	var malformed *fault.Fault
	switch {
	case errors.Is(err, exchange.ErrTooLong):
		return requestTooLarge.about("Request must be smaller than %d bytes for this operation", limit)
	case errors.Is(err, errNoRoom):
		return full()
	case errors.As(err, &malformed): // it is not valid HTTP
		return malformed
	case err != nil && (c.r.Context().Err() != nil || errors.Is(err, io.ErrUnexpectedEOF)):
		return fault.ClientGone.New("", fault.Cause(errors.Join(err, context.Cause(c.r.Context()))))
	case err != nil:
		return invalidContent.about("The body could not be read.")
	}
	return nil
}

var errNoRoom = errors.New("the bodies of all calls are as much as may be held")

// heldBody is a body that is about to be held in memory. The bytes read from it count until the call ends.
type heldBody struct {
	io.ReadCloser

	call *call
}

func (b *heldBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if !b.call.held.add(&b.call.size, n) {
		return n, errNoRoom
	}
	return n, err //nolint:wrapcheck // the body's own
}
