// Package remote is a client of a registry in another process, over the API of package registryapi. It is used both to
// find endpoints and to register instances.
package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/base/registry"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/discovery"
)

// Options make a Client.
type Options struct {
	URL   string       // http://10.0.0.9:9090
	Token secret.Value // empty: none
	// Agent names the client in the registry's log.
	Agent string
}

// The times of a client. A watch has no end, but is never silent for longer than silence.
const (
	connectTime = 3 * time.Second
	answerTime  = 10 * time.Second
	silence     = 40 * time.Second
)

// Client is safe for concurrent use. It must be closed.
type Client struct {
	base      string
	token     secret.Value
	agent     string
	transport *http.Transport
	client    *http.Client
	silence   time.Duration
}

// New makes a client, which does not connect yet. The error says what is wrong with the URL.
func New(o Options) (*Client, error) {
	if err := CheckURL(o.URL); err != nil {
		return nil, err
	}
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: connectTime, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: connectTime, ResponseHeaderTimeout: answerTime, IdleConnTimeout: 30 * time.Second,
		MaxIdleConnsPerHost: 4, MaxResponseHeaderBytes: 64 << 10, DisableCompression: true,
	}
	return &Client{
		base: strings.TrimSuffix(o.URL, "/") + "/v1/registry/", token: o.Token, agent: o.Agent, transport: t, silence: silence,
		client: &http.Client{Transport: t, CheckRedirect: httpx.Unfollowed},
	}, nil
}

// CheckURL tells what is wrong with the URL of a registry.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no URL", text)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("%q is no URL of a registry: write http://10.0.0.9:9090", text)
	case !isPort(u.Port()):
		return fmt.Errorf("%q has no port from 1 to 65535", text)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return fmt.Errorf("%q holds more than the address of a registry: write %s://%s", text, u.Scheme, u.Host)
	}
	return nil
}

// isPort tells whether text may be a port; it may be empty.
func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return text == "" || err == nil && n > 0
}

// Close closes the idle connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// RefusedError is an unsuccessful answer of a registry.
type RefusedError struct {
	Status int
	Code   string // of the problem, "" if there is none
	Text   string // for people
}

func (e *RefusedError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("the registry answers %d", e.Status)
	}
	return fmt.Sprintf("the registry answers %d: %s", e.Status, e.Text)
}

// Lasting tells whether trying again is useless until something else changes.
func (e *RefusedError) Lasting() bool {
	return e.Status >= 400 && e.Status < 500 && e.Status != http.StatusRequestTimeout && e.Status != http.StatusTooManyRequests
}

// Is lets errors.Is recognise the registry's errors.
func (e *RefusedError) Is(target error) bool {
	return e.Code == fault.InstanceUnknown.Code && target == registry.ErrUnknown || e.Code == fault.RegistryCompacted.Code && target == registry.ErrCompacted
}

func instance(service, id string) string {
	return "services/" + url.PathEscape(service) + "/instances/" + url.PathEscape(id)
}

// Put registers an instance by its JSON.
func (c *Client) Put(ctx context.Context, service, id string, body []byte) error {
	return c.do(ctx, http.MethodPut, instance(service, id), body)
}

// Heartbeat sends a heartbeat of an instance. errors.Is recognises registry.ErrUnknown.
func (c *Client) Heartbeat(ctx context.Context, service, id string) error {
	return c.do(ctx, http.MethodPost, instance(service, id)+"/heartbeat", nil)
}

// Remove removes an instance. If it is not registered, that is a success.
func (c *Client) Remove(ctx context.Context, service, id string) error {
	err := c.do(ctx, http.MethodDelete, instance(service, id), nil)
	if errors.Is(err, registry.ErrUnknown) {
		return nil
	}
	return err
}

func (c *Client) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	head := exchange.RequestHead(r)
	head.Set("User-Agent", c.agent)
	if body != nil {
		head.Set("Content-Type", "application/json")
	}
	if !c.token.Empty() {
		head.Set("Authorization", "Bearer "+c.token.Reveal())
	}
	return r, nil
}

// mostAnswer limits, in bytes, how much of an answer is read.
const mostAnswer = 64 << 10

// do sends a request, and once more if there was no answer, for example because the connection had been closed
// meanwhile. That is harmless: all these requests may be sent twice. (net/http does so by itself only for methods that
// it considers safe.)
func (c *Client) do(ctx context.Context, method, path string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	err := c.once(ctx, method, path, body)
	if _, answered := errors.AsType[*RefusedError](err); err == nil || answered || ctx.Err() != nil {
		return err
	}
	return c.once(ctx, method, path, body)
}

func (c *Client) once(ctx context.Context, method, path string, body []byte) error {
	r, err := c.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	res, err := c.client.Do(r)
	if err != nil {
		return plain(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer))
	if err != nil {
		return plain(err)
	}
	return refused(res.StatusCode, text)
}

// plain returns the error without the URL, which the caller knows.
func plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// refused returns the error of an answer, nil for a success.
func refused(status int, text []byte) error {
	if status >= 200 && status < 300 {
		return nil
	}
	var problem struct{ Code, Title, Detail string }
	if json.Unmarshal(text, &problem) != nil || problem.Code == "" {
		return &RefusedError{Status: status}
	}
	return &RefusedError{Status: status, Code: problem.Code, Text: discovery.Line(problem.Title + " " + problem.Detail)}
}
