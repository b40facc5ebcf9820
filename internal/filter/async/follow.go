package async

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weir-gateway/weir/internal/base/egress"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/queue"
	"github.com/weir-gateway/weir/internal/filter"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// ended returns the jobs that follow from the end of a job: its callback, and sending its dead letter. They belong to
// the same route, and are stored together with the end itself.
func (a *async) ended(job queue.Job, body, raw []byte) []queue.Draft {
	if job.Purpose != "" {
		return nil
	}
	s, sent, err := unpackRequest(body)
	if err != nil {
		return nil
	}
	notice := a.notice(job, raw)
	var list []queue.Draft
	if s.Callback != "" && a.hooks != nil {
		list = append(list, a.follow(job, toCallBack, call{URL: s.Callback, Notice: notice}))
	}
	if job.State == queue.Dead && a.mourns != nil {
		list = append(list, a.follow(job, toMourn, letter{notice, job.Lane, s.mourned(sent)}))
	}
	return slices.DeleteFunc(list, func(d queue.Draft) bool { return d.Body == nil })
}

// notice returns what others are told about the end of a job.
func (a *async) notice(job queue.Job, raw []byte) told {
	job.HasResult = false // it is not stored yet
	t, _ := a.told(job)   // nothing is read
	if raw != nil {
		t.Result, _ = resultOf(raw) // it was just made
	}
	return t
}

func (a *async) follow(job queue.Job, purpose string, what any) queue.Draft {
	body, err := json.Marshal(what)
	if err != nil {
		a.log.Error("the end of a job cannot be told", "job", job.ID, "error", err)
	}
	return queue.Draft{
		Place: a.place, Owner: job.Owner, About: purpose + " of " + job.ID, Purpose: purpose, Age: a.config.Age,
		Keep: queue.Keep{Ended: time.Minute, Dead: a.config.KeepDead}, Body: body,
	}
}

// letter is a dead letter as it is sent to a backend.
type letter struct {
	told

	Route   string `json:"route"`
	Request sent   `json:"request"`
}

// sent is the request of a dead letter, without credentials.
type sent struct {
	Method  string              `json:"method"`
	Target  string              `json:"target"`
	Headers map[string][]string `json:"headers"`
	Body    []byte              `json:"body"` // base64
}

// credentials holds for header fields that are left out of dead letters.
func credentials(name string) bool {
	return slices.ContainsFunc([]string{"Authorization", "Cookie", "X-Api-Key", "X-Amz-Security-Token", "X-Functions-Key"}, func(c string) bool { return strings.EqualFold(c, name) })
}

func (s *stored) mourned(body []byte) sent {
	m := sent{Method: s.Method, Target: s.Target, Headers: map[string][]string{}, Body: body}
	for i := 0; i+1 < len(s.Head); i += 2 {
		if !credentials(s.Head[i]) {
			name := http.CanonicalHeaderKey(s.Head[i])
			m.Headers[name] = append(m.Headers[name], s.Head[i+1])
		}
	}
	return m
}

// mourn sends a dead letter.
func (a *async) mourn(ctx context.Context, at queue.Attempt) queue.Outcome {
	if a.mourns == nil {
		return queue.Outcome{Verdict: queue.Hopeless, Reason: "the route has no `dead` any more"}
	}
	r := request(at, &url.URL{Path: "/"})
	r.Host = backendName
	return post(ctx, at, a.mourns, r, at.Body)
}

// request makes a POST of JSON.
func request(at queue.Attempt, to *url.URL) *http.Request {
	r := exchange.NewRequest(context.Background(), nil)
	r.Method, r.URL, r.Host = http.MethodPost, to, to.Host
	exchange.SetFields(exchange.RequestHead(r),
		exchange.Field{Name: "Content-Type", Value: "application/json"}, exchange.Field{Name: "User-Agent", Value: "weir"},
		exchange.Field{Name: keyField, Value: at.Job.ID}, exchange.Field{Name: attemptField, Value: strconv.Itoa(at.Job.Attempts)})
	return r
}

// call is a callback to be made.
type call struct {
	URL    string `json:"url"`
	Notice told   `json:"notice"`
}

// hooks makes callbacks. Only URLs that the config allows are called, at their own address.
type hooks struct {
	allow      []Origin
	secret     []byte // nil: nothing is signed
	plain, tls *transport.Transport
}

const connectTime = 5 * time.Second

// identity changes whenever the hooks for c must be made anew.
func (c *Callback) identity(env filter.Env) string {
	var key string
	if c.Secret != nil {
		if v, err := c.Secret.Read(env.Secret); err == nil {
			key = digest(v.Reveal())
		}
	}
	return fmt.Sprintf("%q %s %s", c.Allow, key, env.Bounds)
}

func newHooks(env filter.Env, c *Callback) (*hooks, error) {
	h := &hooks{allow: c.Allow}
	bounds, err := c.bounds(env.Bounds)
	if err != nil {
		return nil, err
	}
	if c.Secret != nil {
		key, err := c.Secret.Read(env.Secret)
		if err != nil {
			return nil, fmt.Errorf("secret: %w", err)
		}
		if h.secret, err = signingKey(key.Reveal()); err != nil {
			return nil, err
		}
	}
	if h.plain, err = transport.New(transport.Options{Connect: connectTime, Bounds: bounds}); err != nil {
		return nil, err
	}
	h.tls, err = transport.New(transport.Options{Connect: connectTime, Bounds: bounds, TLS: &tls.Config{MinVersion: tls.VersionTLS12}})
	return h, err
}

// bounds returns where callbacks may lead, within the bounds of the route's own calls.
func (c *Callback) bounds(of *egress.Bounds) (*egress.Bounds, error) {
	bounds := &egress.Bounds{}
	for _, o := range c.Allow {
		reach, err := reachOf(o, of)
		if err != nil {
			return nil, fmt.Errorf("allow: %s: %w", o, err)
		}
		bounds.Reach = append(bounds.Reach, reach...)
	}
	return bounds, nil
}

func (h *hooks) close(context.Context) {
	h.plain.CloseIdle()
	h.tls.CloseIdle()
}

// reachOf returns the special addresses that an origin allows: an origin that writes out an address of this machine or
// a link means it. A name must not lead there.
func reachOf(o Origin, bounds *egress.Bounds) ([]netip.Prefix, error) {
	u, err := url.Parse(string(o))
	if err != nil {
		return nil, err
	}
	if err := bounds.Host(u.Hostname()); err != nil {
		return nil, err
	}
	if u.Hostname() == "localhost" {
		return []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128")}, nil
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return nil, nil //nolint:nilerr // it is a name
	}
	return []netip.Prefix{netip.PrefixFrom(ip, ip.BitLen())}, nil
}

var errOrigin = errors.New("it is no origin")

// originOf returns the origin of a URL: scheme, host in lower case, and the port unless it is the scheme's default.
func originOf(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Opaque != "" {
		return "", errOrigin
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if usual := map[string]string{"http": "80", "https": "443"}[u.Scheme]; port == usual {
		port = ""
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" {
		host += ":" + port
	}
	return u.Scheme + "://" + host, nil
}

// callback returns the callback URL that a client has named, "" if it named none. A URL that may not be called is the
// client's mistake.
func (a *async) callback(head exchange.Head) (string, error) {
	given := head.Get(callbackField)
	if given == "" {
		return "", nil
	}
	if a.hooks == nil {
		return "", fault.BadParameter.New("This route makes no callbacks, and " + callbackField + " asks for one.")
	}
	if err := a.hooks.mayCall(given); err != nil {
		return "", fault.BadParameter.New("The URL in "+callbackField+" may not be called back.", fault.Cause(err))
	}
	return given, nil
}

var errNotAllowed = errors.New("its origin is none of callback.allow")

func (h *hooks) mayCall(to string) error {
	origin, err := originOf(to)
	if err != nil {
		return err
	}
	if !slices.Contains(h.allow, Origin(origin)) {
		return errNotAllowed
	}
	return nil
}

// callBack notifies the URL that a client has named of the end of its job.
func (a *async) callBack(ctx context.Context, at queue.Attempt) queue.Outcome {
	var c call
	if err := json.Unmarshal(at.Body, &c); err != nil {
		return queue.Outcome{Verdict: queue.Hopeless, Reason: "what is stored of it cannot be read"}
	}
	if a.hooks == nil || a.hooks.mayCall(c.URL) != nil { // the config has changed since
		return queue.Outcome{Verdict: queue.Hopeless, Reason: "the config does not allow it any more"}
	}
	body, err := json.Marshal(c.Notice)
	if err != nil {
		return queue.Outcome{Verdict: queue.Hopeless, Reason: "it cannot be told"}
	}
	return a.hooks.call(ctx, at, c.URL, body)
}

func (h *hooks) call(ctx context.Context, at queue.Attempt, to string, body []byte) queue.Outcome {
	u, err := url.Parse(to)
	if err != nil {
		return queue.Outcome{Verdict: queue.Hopeless, Reason: "its URL cannot be read"}
	}
	r := request(at, u)
	by, port := h.plain, "80"
	if u.Scheme == "https" {
		by, port = h.tls, "443"
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	h.sign(exchange.RequestHead(r), at.Job.ID, time.Now(), body)
	return post(ctx, at, by, r, body)
}

// sign adds the fields of Standard Webhooks 1.0. They prove that content and time come from a sender that knows the
// secret.
func (h *hooks) sign(head exchange.Head, id string, now time.Time, body []byte) {
	stamp := strconv.FormatInt(now.Unix(), 10)
	head.Set("Webhook-Id", id)
	head.Set("Webhook-Timestamp", stamp)
	if h.secret == nil {
		return
	}
	sum := hmac.New(sha256.New, h.secret)
	_, _ = fmt.Fprintf(sum, "%s.%s.%s", id, stamp, body) // never fails (hash.Hash)
	head.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(sum.Sum(nil)))
}

// secretPrefix is the prefix of a base64 secret.
const secretPrefix = "whsec_"

// signingKey reads a secret in the form of Standard Webhooks, or as plain text.
func signingKey(text string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(text, secretPrefix)
	if !ok {
		if text == "" {
			return nil, errors.New("secret: it is empty")
		}
		return []byte(text), nil
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) == 0 {
		return nil, errors.New("secret: what follows " + secretPrefix + " is no base64")
	}
	return key, nil
}
