package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/discovery"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// client calls one daemon. It is used by several goroutines.
type client struct {
	via *transport.Transport
	at  string
	// version is the API version, "" while it is not known; one goroutine sets it before others send requests.
	version string
}

// The limits of requests.
const (
	answerTime    = 10 * time.Second
	largestAnswer = 32 << 20
	largestEvent  = 1 << 20
)

// newest is the newest minor version of API 1 that this code was written for. An older daemon is called with its own
// version; a newer one still supports this version.
const newest = 56

// summary is a container in a list.
type summary struct {
	ID     string `json:"Id"` //nolint:tagliatelle // the daemon's
	Labels map[string]string
}

// event is an event of the daemon.
type event struct {
	Type   string
	Action string
	Actor  struct {
		ID         string
		Attributes map[string]string
	}
}

// container returns the id of the container that an event is about.
func (e event) container() string {
	if e.Type == "network" {
		return e.Actor.Attributes["container"]
	}
	return e.Actor.ID
}

var errGone = errors.New("there is no such container")

// negotiate finds out which API version both sides support.
func (c *client) negotiate(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTime, fmt.Errorf("no answer within %v", answerTime))
	defer cancel()
	res, err := c.send(ctx, "/_ping", nil)
	if err != nil {
		return because(ctx, err)
	}
	exchange.Discard(res)
	_, minor, ok := strings.Cut(exchange.ResponseHead(res).Get("Api-Version"), "1.")
	n, err := strconv.Atoi(minor)
	if !ok || err != nil || n < 1 {
		return errors.New("the answer to /_ping has no Api-Version; this is no Docker daemon")
	}
	c.version = "/v1." + strconv.Itoa(min(n, newest))
	return nil
}

// list returns the containers that are not stopped.
func (c *client) list(ctx context.Context) ([]summary, error) {
	var found []summary
	err := c.get(ctx, "/containers/json", url.Values{}, &found)
	if err == nil && found == nil {
		err = errors.New("the list of containers is null")
	}
	return found, err
}

// inspect returns one container, or errGone.
func (c *client) inspect(ctx context.Context, id string) (*container, error) {
	found := &container{}
	err := c.get(ctx, "/containers/"+url.PathEscape(id)+"/json", url.Values{}, found)
	if err == nil && found.ID == "" {
		err = errors.New("a container has no id")
	}
	return found, err
}

// events begins to receive the events of containers and their networks.
func (c *client) events(ctx context.Context) (*json.Decoder, io.Closer, error) {
	filters := `{"type":["container","network"]}`
	res, err := c.send(ctx, c.version+"/events", url.Values{"filters": {filters}})
	if err != nil {
		return nil, nil, err
	}
	return json.NewDecoder(&perEvent{r: res.Body, left: largestEvent}), res.Body, nil
}

// perEvent bounds how much is read between two events.
type perEvent struct {
	r    io.Reader
	left int
}

func (p *perEvent) Read(b []byte) (int, error) {
	if p.left <= 0 {
		return 0, fmt.Errorf("an event has more than %d bytes", largestEvent)
	}
	n, err := p.r.Read(b[:min(len(b), p.left)])
	p.left -= n
	for _, c := range b[:n] {
		if c == '\n' { // which separates events and does not occur within them
			p.left = largestEvent
		}
	}
	return n, err //nolint:wrapcheck // io.EOF is one
}

func (c *client) get(ctx context.Context, path string, query url.Values, into any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTime, fmt.Errorf("no answer within %v", answerTime))
	defer cancel()
	res, err := c.send(ctx, c.version+path, query)
	if err != nil {
		return because(ctx, err)
	}
	defer func() { _ = res.Body.Close() }() // it was read, or is abandoned
	if err := json.NewDecoder(io.LimitReader(res.Body, largestAnswer)).Decode(into); err != nil {
		return because(ctx, fmt.Errorf("the answer is not understood: %w", err))
	}
	return nil
}

// because returns ctx's cause if ctx has ended, else err.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx) //nolint:wrapcheck // it is a sentence of ours
	}
	return err
}

// send sends a request, and returns a successful response.
func (c *client) send(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	target := "http://docker" + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names what it was
	}
	req.URL.Host = c.at // the daemon requires a host, and accepts any
	exchange.SetFields(exchange.RequestHead(req), exchange.Field{Name: "Accept", Value: "application/json"}, exchange.Field{Name: "User-Agent", Value: "weir"})
	res, err := c.via.RoundTrip(req)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the place
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer func() { _ = res.Body.Close() }() // its message was read
	if res.StatusCode == http.StatusNotFound && strings.Contains(path, "/containers/") {
		return nil, errGone
	}
	var says struct{ Message string }
	_ = json.NewDecoder(io.LimitReader(res.Body, 1000)).Decode(&says) // the status says enough
	return nil, errors.New(strings.TrimSpace(fmt.Sprintf("it answers %d %s", res.StatusCode, discovery.Line(says.Message))))
}
