package consul

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

// client queries one Consul. It is used by several goroutines.
type client struct {
	via         *transport.Transport
	host        string
	token       string
	consistency string
}

// largestAnswer limits the size of an answer: about 30,000 instances.
const largestAnswer = 32 << 20

// answerTime is how long Consul may take beyond the requested wait time.
const answerTime = 10 * time.Second

// answer is the result of a query.
type answer struct {
	entries []entry
	index   uint64 // of this state, for the next query
}

// refusedError says that Consul answered with an unsuccessful status.
type refusedError struct {
	status int
	text   string
	after  time.Duration // Retry-After, 0 if absent
}

func (e *refusedError) Error() string {
	return strings.TrimSpace(fmt.Sprintf("it answers %d %s", e.status, e.text))
}

// ask asks for the instances of a service, and waits up to wait for a state newer than index; with index 0 it does not
// wait. Consul adds up to a sixteenth of wait, so that not all clients ask at once.
func (c *client) ask(ctx context.Context, r reference, index uint64, wait time.Duration) (answer, error) {
	most := wait + wait/16 + answerTime
	ctx, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("no answer within %v", most))
	defer cancel()
	values := r.values()
	if index > 0 {
		values.Set("index", strconv.FormatUint(index, 10))
		values.Set("wait", strconv.FormatInt(wait.Milliseconds(), 10)+"ms")
	}
	if c.consistency != leader {
		values.Set(c.consistency, "")
	}
	found, err := c.get(ctx, r.path(), values)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return found, err
}

func (c *client) get(ctx context.Context, path string, values url.Values) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://consul"+path+"?"+values.Encode(), http.NoBody)
	if err != nil {
		return answer{}, err //nolint:wrapcheck // it names what it was
	}
	req.URL.Host = c.host
	if strings.HasPrefix(c.host, discovery.Unix) {
		req.Host = "localhost"
	}
	fields := []exchange.Field{{Name: "Accept", Value: "application/json"}, {Name: "User-Agent", Value: "weir"}}
	if c.token != "" {
		fields = append(fields, exchange.Field{Name: "X-Consul-Token", Value: c.token})
	}
	exchange.SetFields(exchange.RequestHead(req), fields...)
	res, err := c.via.RoundTrip(req)
	if err != nil {
		return answer{}, err //nolint:wrapcheck // it names the address
	}
	defer func() { _ = res.Body.Close() }() // it was read, or is abandoned
	head := exchange.ResponseHead(res)
	if res.StatusCode != http.StatusOK {
		return answer{}, refusal(res, head)
	}
	if err := fresh(head); err != nil {
		return answer{}, err
	}
	return readAnswer(res.Body, head)
}

// refusal reads Consul's error response, at most a line of it.
func refusal(res *http.Response, head exchange.Head) error {
	text, _ := io.ReadAll(io.LimitReader(res.Body, 200)) // the status says enough
	seconds, err := strconv.ParseUint(head.Get("Retry-After"), 10, 16)
	if err != nil {
		seconds = 0
	}
	return &refusedError{res.StatusCode, discovery.Line(string(text)), time.Duration(seconds) * time.Second}
}

// oldest is for how long a server that answers from its own state may have been without its leader.
const oldest = 10 * time.Second

// fresh returns an error if an answer is too old to be believed.
func fresh(head exchange.Head) error {
	if head.Get("X-Consul-Knownleader") == "false" {
		return errors.New("the server that answers knows no leader, and may be of yesterday")
	}
	contact, err := strconv.ParseUint(head.Get("X-Consul-Lastcontact"), 10, 63)
	if age := time.Duration(contact) * time.Millisecond; err == nil && (age > oldest || contact > uint64(oldest.Milliseconds())) {
		return fmt.Errorf("the server that answers has not heard of its leader for %v", age)
	}
	return nil
}

// readAnswer reads a list of instances with its index.
func readAnswer(body io.Reader, head exchange.Head) (answer, error) {
	index, err := strconv.ParseUint(head.Get("X-Consul-Index"), 10, 64)
	if err != nil {
		return answer{}, errors.New("the answer has no X-Consul-Index; this is no Consul")
	}
	limited := &io.LimitedReader{R: body, N: largestAnswer + 1}
	var entries []entry
	decoder := json.NewDecoder(limited)
	if err := decoder.Decode(&entries); err != nil {
		if limited.N <= 0 {
			return answer{}, fmt.Errorf("the answer has more than %d bytes", largestAnswer)
		}
		return answer{}, fmt.Errorf("the answer is not understood: %w", err)
	}
	if entries == nil {
		return answer{}, errors.New("the answer is null, and no list of instances")
	}
	return answer{entries, index}, nil
}
