package lambdaapi

import (
	"bytes"
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

// maxPayload is the largest synchronous payload, maxEvent the largest asynchronous one:
// AWS's quotas.
const (
	maxPayload = 6 << 20
	maxEvent   = 1 << 20
)

// admit lets through who may ask, and reads the body.
func (a *API) admit(c *call, limit int64) error {
	if a.options.Verifier == nil {
		if err := a.near(c); err != nil {
			return err
		}
		return c.read(limit)
	}
	path, query, _ := strings.Cut(c.r.RequestURI, "?")
	claim, err := a.options.Verifier.Open(sigv4.Request{
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

// near holds that who asks is on this machine, where there are no keys.
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

// believed is how large a body's buffer is before any of it has come.
const believed = 64 << 10

// read reads the body, at most limit bytes of it.
func (c *call) read(limit int64) error {
	if c.r.ContentLength > limit {
		return requestTooLarge.about("Request must be smaller than %d bytes for this operation", limit)
	}
	if c.r.Body == nil || c.r.Body == http.NoBody {
		return nil
	}
	var b bytes.Buffer
	if n := c.r.ContentLength; n > 0 { // no more is trusted, for whoever knows a key's id comes this far
		b.Grow(int(min(n, believed)) + bytes.MinRead)
	}
	_, err := b.ReadFrom(io.LimitReader(c.r.Body, limit+1))
	c.body = b.Bytes()
	c.x.Received += int64(len(c.body))
	var malformed *fault.Fault
	switch {
	case errors.As(err, &malformed): // it is no HTTP
		return malformed
	case err != nil && (c.r.Context().Err() != nil || errors.Is(err, io.ErrUnexpectedEOF)):
		return fault.ClientGone.New("", fault.Cause(errors.Join(err, context.Cause(c.r.Context()))))
	case err != nil:
		return invalidContent.about("The body could not be read.")
	case int64(len(c.body)) > limit:
		return requestTooLarge.about("Request must be smaller than %d bytes for this operation", limit)
	}
	return nil
}
