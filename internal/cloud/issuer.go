package cloud

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/httpx"
)

// The bounds of one request to an issuer of tokens.
const (
	askTimeout = 5 * time.Second
	mostAnswer = 256 << 10
	mostTold   = 300 // bytes of an error's body that are reported
)

// Asker asks issuers of tokens: the token services of platforms and the metadata servers of machines. It follows no
// redirects, so that a token is not sent where the issuer was not meant to send it. It is safe for concurrent use.
type Asker struct{ outside, machine http.Client }

// NewAsker makes an Asker that connects within bounds.
func NewAsker(bounds *egress.Bounds) *Asker {
	client := func(proxy func(*http.Request) (*url.URL, error)) http.Client {
		return http.Client{
			Timeout:       askTimeout,
			CheckRedirect: httpx.Unfollowed,
			Transport: &http.Transport{
				Proxy: proxy, DialContext: (&net.Dialer{Control: bounds.Control}).DialContext, ForceAttemptHTTP2: true,
				DisableKeepAlives: true, // the next request is an hour away
			},
		}
	}
	a := &Asker{outside: client(http.ProxyFromEnvironment), machine: client(nil)}
	if bounds != nil {
		a.outside = client(nil) // a proxy would connect beyond the bounds
	}
	return a
}

// AnswerError is an answer of an issuer that is not a success.
type AnswerError struct {
	Issuer string // its host
	Status int
	Text   string // what the body says, at most a few hundred bytes
}

func (e *AnswerError) Error() string {
	return fmt.Sprintf("%s answers %d: %s", e.Issuer, e.Status, e.Text)
}

// Question is one request to an issuer.
type Question struct {
	URL string
	// Form is sent as application/x-www-form-urlencoded, JSON as JSON. Without either the request is a GET.
	Form   url.Values
	JSON   any
	Fields []exchange.Field
	// Machine says that the issuer is the machine's own metadata server, which is never asked through a proxy.
	Machine bool
}

// Ask returns the body of an answer with status 200.
func (a *Asker) Ask(ctx context.Context, q Question) ([]byte, error) {
	r, err := q.request(ctx)
	if err != nil {
		return nil, err
	}
	client := &a.outside
	if q.Machine {
		client = &a.machine
	}
	res, err := client.Do(r)
	if err != nil {
		return nil, bare(err)
	}
	defer func() { _ = res.Body.Close() }() // everything that matters was read
	body, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", r.URL.Host, err)
	case res.StatusCode != http.StatusOK:
		return nil, &AnswerError{r.URL.Host, res.StatusCode, told(body)}
	}
	return body, nil
}

// AskJSON decodes the answer, which is JSON, into out.
func (a *Asker) AskJSON(ctx context.Context, q Question, out any) error {
	body, err := a.Ask(ctx, q)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("the answer of %s is not understood: %w", hostOf(q.URL), err)
	}
	return nil
}

func (q Question) request(ctx context.Context) (*http.Request, error) {
	method, body, kind := http.MethodGet, []byte(nil), ""
	switch {
	case q.Form != nil:
		method, body, kind = http.MethodPost, []byte(q.Form.Encode()), "application/x-www-form-urlencoded"
	case q.JSON != nil:
		encoded, err := json.Marshal(q.JSON)
		if err != nil {
			return nil, fmt.Errorf("question to %s: %w", hostOf(q.URL), err)
		}
		method, body, kind = http.MethodPost, encoded, "application/json"
	}
	r, err := http.NewRequestWithContext(ctx, method, q.URL, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the issuer's address is no URL") // err may contain a secret
	}
	head := exchange.RequestHead(r)
	head.Set("User-Agent", "weir")
	head.Set("Accept", "application/json")
	if kind != "" {
		head.Set("Content-Type", kind)
	}
	for _, f := range q.Fields {
		head.Set(f.Name, f.Value)
	}
	return r, nil
}

// bare removes the query, which may hold secrets, from an error of net/http.
func bare(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("%s: %w", hostOf(failed.URL), failed.Err)
	}
	return err
}

func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "the issuer"
	}
	return u.Host
}

// told returns what an issuer says about an error: in the form of RFC 6749 section 5.2, in that of Google's APIs, or in
// any other words.
func told(body []byte) string {
	var oauth struct {
		Error       json.RawMessage
		Description string `json:"error_description"`
	}
	var google struct{ Message, Status string }
	var code string
	switch {
	case json.Unmarshal(body, &oauth) != nil:
	case json.Unmarshal(oauth.Error, &code) == nil && code != "":
		return short(strings.TrimSuffix(code+": "+oauth.Description, ": "))
	case json.Unmarshal(oauth.Error, &google) == nil && google.Message != "":
		return short(google.Status + ": " + google.Message)
	}
	return short(strings.Join(strings.Fields(string(body)), " "))
}

func short(text string) string { return text[:min(len(text), mostTold)] }

// ExpiryOf returns when a JSON Web Token expires. It reads the token without verifying it, which is the recipient's
// task.
func ExpiryOf(token string) (time.Time, error) {
	parts := strings.Split(token, ".")
	const three = 3 // RFC 7515 section 3.1
	if len(parts) != three {
		return time.Time{}, errors.New("what was given is no token")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Exp float64 // a NumericDate may have a fraction
	}
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	if err != nil || claims.Exp <= 0 {
		return time.Time{}, errors.New("what was given is a token that does not say when it ends")
	}
	return time.Unix(int64(min(claims.Exp, lastMoment)), 0), nil
}

// lastMoment is the end of the year 9999, the latest time that can be written.
const lastMoment = 253402300799

// CheckToken says why a token, or another proof of who is calling, cannot stand in a header field of a request: it must
// be visible ASCII (RFC 6750 section 2.1 allows less than that). The error does not reveal the token.
func CheckToken(text string) error {
	if text == "" {
		return errors.New("what was given is empty")
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return errors.New("what was given holds a character that no field of a request may have")
		}
	}
	return nil
}

// Basic returns the Authorization header with which a client authenticates at an issuer (RFC 6749 section 2.3.1).
func Basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}
