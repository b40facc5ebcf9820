package tracing

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/weir-gateway/weir/internal/base/backoff"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/httpx"
)

// client sends spans by OTLP over HTTP in protobuf. It implements otlptrace.Client.
type client struct {
	url     string
	headers map[string]string
	agent   string
	gzip    bool
	timeout time.Duration
	http    *http.Client
	counts  *Counts
	log     *slog.Logger
	failing atomic.Bool
	life    context.Context //nolint:containedctx // of everything that is sent, from newClient to give up
	giveUp  context.CancelFunc
}

func newClient(o Options, counts *Counts, log *slog.Logger) (*client, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	url, err := o.endpoint()
	if err != nil {
		return nil, err
	}
	headers, err := o.headers()
	if err != nil {
		return nil, err
	}
	secure, err := o.tls()
	if err != nil {
		return nil, err
	}
	const idle = 90 * time.Second
	life, giveUp := context.WithCancel(context.Background())
	return &client{
		life: life, giveUp: giveUp,
		url: url, headers: headers, agent: "Weir/" + o.Version, gzip: o.variable("COMPRESSION") == "gzip", timeout: o.timeout(),
		http: &http.Client{
			Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: secure, ForceAttemptHTTP2: true, IdleConnTimeout: idle},
			CheckRedirect: httpx.Unfollowed,
		},
		counts: counts, log: log,
	}, nil
}

// tls reads the certificates that the environment names.
func (o Options) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if path := o.variable("CERTIFICATE"); path != "" {
		pem, err := o.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE: %s holds no certificate", path)
		}
	}
	cert, key := o.variable("CLIENT_CERTIFICATE"), o.variable("CLIENT_KEY")
	if cert == "" && key == "" {
		return c, nil
	}
	certPEM, err := o.ReadFile(cert)
	if err == nil {
		var keyPEM []byte
		if keyPEM, err = o.ReadFile(key); err == nil {
			var pair tls.Certificate
			pair, err = tls.X509KeyPair(certPEM, keyPEM)
			c.Certificates = []tls.Certificate{pair}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and _KEY: %w", err)
	}
	return c, nil
}

// Start does nothing: connections are made when there are spans.
func (*client) Start(context.Context) error { return nil }

// Stop closes the connections.
func (c *client) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// UploadTraces sends spans. Spans that cannot be sent are lost, which is logged once until sending works again. The
// error is always nil, because the SDK would only print it.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	n := count(spans)
	// TracesData has the same encoding as ExportTraceServiceRequest, whose package imports gRPC.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err == nil {
		body, err = c.packed(body)
	}
	var rejected uint64
	if err == nil {
		rejected, err = c.send(ctx, body)
	}
	if err != nil {
		rejected = n
	}
	c.counts.Lost.Add(rejected)
	c.counts.Sent.Add(n - min(n, rejected))
	if was := c.failing.Swap(err != nil); err != nil && !was {
		c.log.Error("spans cannot be sent; they are lost until they can", "endpoint", c.url, "error", err)
	} else if was && err == nil {
		c.log.Info("spans are sent again", "endpoint", c.url)
	}
	return nil
}

func count(list []*tracepb.ResourceSpans) (n uint64) {
	for _, r := range list {
		for _, s := range r.GetScopeSpans() {
			n += uint64(len(s.GetSpans()))
		}
	}
	return n
}

func (c *client) packed(body []byte) ([]byte, error) {
	if !c.gzip {
		return body, nil
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(body)
	err = errors.Join(err, w.Close())
	return b.Bytes(), err
}

const (
	tries        = 4
	firstPause   = time.Second
	longestPause = 8 * time.Second
	mostAnswer   = 64 << 10
)

// refusedError is an answer other than success.
type refusedError struct {
	status int
	after  time.Duration // how long the collector asked to wait; 0: it did not ask
	text   string
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("the collector answered %d: %s", e.status, e.text)
}

// again reports whether the same request may be sent again (OTLP specification, "Retryable response codes").
func (e *refusedError) again() bool {
	switch e.status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// send retries until the collector accepts body, says that it never will, or all tries are used up.
func (c *client) send(ctx context.Context, body []byte) (rejected uint64, err error) {
	ctx, cancel := context.WithCancel(ctx) // the SDK sends the remaining spans with a timeout of its own
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	for n := 1; ; n++ {
		rejected, err = c.post(ctx, body)
		refused, ok := errors.AsType[*refusedError](err)
		if err == nil || ok && !refused.again() || n == tries {
			return rejected, err
		}
		wait := backoff.Spread(backoff.Doubling{First: firstPause, Most: longestPause}.After(n))
		if ok && refused.after > 0 {
			wait = refused.after
		}
		if !backoff.Wait(ctx, wait) {
			return 0, err
		}
	}
}

func (c *client) post(ctx context.Context, body []byte) (rejected uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	head := exchange.RequestHead(r)
	head.Set("User-Agent", c.agent)
	for name, value := range c.headers {
		head.Set(name, value)
	}
	head.Set("Content-Type", "application/x-protobuf")
	if c.gzip {
		head.Set("Content-Encoding", "gzip")
	}
	res, err := c.http.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }() // it was read as far as it matters
	answer, err := io.ReadAll(io.LimitReader(res.Body, mostAnswer))
	switch {
	case err != nil:
		return 0, err
	case res.StatusCode/100 == 2:
		return rejectedOf(answer), nil
	}
	seconds, _ := strconv.Atoi(exchange.ResponseHead(res).Get("Retry-After")) // a date, or nothing, is 0
	const mostText, mostWait = 200, 30
	return 0, &refusedError{res.StatusCode, time.Duration(min(seconds, mostWait)) * time.Second, string(bytes.ToValidUTF8(answer[:min(len(answer), mostText)], nil))}
}

// rejectedOf reads from an ExportTraceServiceResponse how many spans were not accepted: field 1 of its field 1
// (partial_success.rejected_spans).
func rejectedOf(answer []byte) uint64 {
	partial := field(answer, 1, protowire.BytesType)
	number := field(partial, 1, protowire.VarintType)
	n, size := protowire.ConsumeVarint(number)
	if size < 0 {
		return 0
	}
	return n
}

// field returns the first field of that number and type, without its tag; nil if there is none.
func field(message []byte, number protowire.Number, kind protowire.Type) []byte {
	for len(message) > 0 {
		n, t, size := protowire.ConsumeTag(message)
		if size < 0 {
			return nil
		}
		message = message[size:]
		length := protowire.ConsumeFieldValue(n, t, message)
		if length < 0 {
			return nil
		}
		if n == number && t == kind {
			if kind == protowire.BytesType {
				value, _ := protowire.ConsumeBytes(message)
				return value
			}
			return message[:length]
		}
		message = message[length:]
	}
	return nil
}
