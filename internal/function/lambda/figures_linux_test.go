package lambda

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

var rounds = flag.Int("rounds", 0, "measure what an invocation costs against a client that is written by hand, so many rounds")

// platformVariable has the test's program be the platform, so that what is measured of this
// process is the clients' alone.
const platformVariable = "WEIR_TEST_PLATFORM"

// TestPlatform is that process: it answers every call at once.
func TestPlatform(t *testing.T) {
	if os.Getenv(platformVariable) == "" {
		t.Skip("it is the platform of TestFiguresOfLambda")
	}
	answer := []byte(`{"statusCode":200,"headers":{"content-type":"application/json"},"body":"{\"id\":1}"}`)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if !strings.Contains(r.URL.Path, "streaming") {
			_, _ = w.Write(answer)
			return
		}
		w.Header().Set("Content-Type", streamType)
		w.Header().Set(remappedField, "text/plain")
		now := make([]byte, 8)
		for i := range now {
			now[i] = byte(time.Now().UnixNano() >> (8 * i))
		}
		m := eventstream.Message{Payload: now}
		m.Headers.Set(":message-type", eventstream.StringValue("event"))
		m.Headers.Set(":event-type", eventstream.StringValue("PayloadChunk"))
		_ = eventstream.NewEncoder().Encode(w, m)
		w.(http.Flusher).Flush()
		m.Payload = []byte("{}")
		m.Headers.Set(":event-type", eventstream.StringValue("InvokeComplete"))
		_ = eventstream.NewEncoder().Encode(w, m)
	}))
	_, _ = fmt.Fprintln(os.Stdout, server.URL)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends
	server.Close()
}

func startPlatform(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	platform := exec.CommandContext(t.Context(), self, "-test.run=^TestPlatform$")
	platform.Env = append(os.Environ(), platformVariable+"=1")
	in, err := platform.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := platform.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := platform.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = platform.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(address)
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// byHand is what somebody would write for this one function: on the same transport, with the
// same signer, and none of what a gateway owes others.
type byHand struct {
	transport *transport.Transport
	signer    *v4.Signer
	key       sdk.Credentials
	host      string
}

type handEvent struct {
	Version        string            `json:"version"`
	RouteKey       string            `json:"routeKey"`
	RawPath        string            `json:"rawPath"`
	RawQueryString string            `json:"rawQueryString"`
	Headers        map[string]string `json:"headers"`
	RequestContext struct {
		HTTP      map[string]string `json:"http"`
		RequestID string            `json:"requestId"`
		Time      string            `json:"time"`
		TimeEpoch int64             `json:"timeEpoch"`
	} `json:"requestContext"`
	Body            string `json:"body,omitempty"`
	IsBase64Encoded bool   `json:"isBase64Encoded"`
}

func (h *byHand) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	e := handEvent{Version: "2.0", RouteKey: "$default", RawPath: r.URL.EscapedPath(), RawQueryString: r.URL.RawQuery, Headers: map[string]string{}, Body: string(body)}
	for name, values := range r.Header {
		e.Headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	now := time.Now()
	e.RequestContext.HTTP = map[string]string{"method": r.Method, "path": e.RawPath, "protocol": r.Proto, "sourceIp": r.RemoteAddr, "userAgent": r.UserAgent()}
	e.RequestContext.RequestID, e.RequestContext.Time, e.RequestContext.TimeEpoch = function.NewID(), now.Format(time.RFC3339), now.UnixMilli()
	payload, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, "http://"+h.host+"/2015-03-31/functions/orders/invocations", bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(payload)
	if err := h.signer.SignHTTP(r.Context(), h.key, req, hex.EncodeToString(digest[:]), "lambda", "eu-west-1", now); err != nil {
		return nil, err
	}
	res, err := h.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || res.Header.Get("X-Amz-Function-Error") != "" {
		return nil, fmt.Errorf("%d %s %w", res.StatusCode, text, err)
	}
	var a struct {
		StatusCode int
		Headers    map[string]string
		Body       string
		IsBase64   bool `json:"isBase64Encoded"`
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, err
	}
	out := &http.Response{StatusCode: a.StatusCode, Header: http.Header{}, Request: r}
	for name, value := range a.Headers {
		out.Header.Set(name, value)
	}
	content := []byte(a.Body)
	if a.IsBase64 {
		if content, err = base64.StdEncoding.DecodeString(a.Body); err != nil {
			return nil, err
		}
	}
	out.ContentLength = int64(len(content))
	out.Body = io.NopCloser(bytes.NewReader(content))
	return out, nil
}

// TestFiguresOfLambda measures, by pairs, the CPU of an invocation against a client that is
// written by hand, and how long the first byte of a stream takes. It judges answers only.
func TestFiguresOfLambda(t *testing.T) {
	if *rounds == 0 {
		t.Skip("run by make bench-clouds")
	}
	environment(t)
	endpoint := startPlatform(t)
	ours := build(t, "lambda: orders\nregion: eu-west-1\nlog: false\nendpoint: "+endpoint)
	plain, err := transport.New(transport.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.CloseIdle()
	hand := &byHand{plain, v4.NewSigner(), sdk.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "hush", SessionToken: "a/session+token="}, strings.TrimPrefix(endpoint, "http://")}
	var ratios, costs, theirs []float64
	for round := range *rounds {
		sides := []http.RoundTripper{ours, hand}
		if round%2 == 1 {
			slices.Reverse(sides)
		}
		first, second := invocations(t, sides[0]), invocations(t, sides[1])
		if round%2 == 1 {
			first, second = second, first
		}
		ratios, costs, theirs = append(ratios, float64(first)/float64(second)), append(costs, first.Seconds()*1e6), append(theirs, second.Seconds()*1e6)
	}
	t.Logf("CPU of an invocation: %.1f us, by hand %.1f us, ratio %.2f (quartiles %.2f to %.2f; stated: 1.3 at most)",
		at(costs, 2), at(theirs, 2), at(ratios, 2), at(ratios, 1), at(ratios, 3))
	streams := build(t, "lambda: orders\nregion: eu-west-1\nmode: stream\nendpoint: "+endpoint)
	var waits []float64
	for range *rounds * 20 {
		res, _, err := ask(t, streams, "GET", "/", "", unchanged)
		if err != nil {
			t.Fatal(err)
		}
		var sent [8]byte
		_, err = io.ReadFull(res.Body, sent[:])
		now := time.Now()
		if err != nil {
			t.Fatal(err)
		}
		var then int64
		for i, b := range sent {
			then |= int64(b) << (8 * i)
		}
		waits = append(waits, float64(now.UnixNano()-then)/1e3)
		_ = bodyOf(t, res)
	}
	t.Logf("first byte of a stream, from the platform to the reader: %.0f us (quartiles %.0f to %.0f; stated: 1000 at most)", at(waits, 2), at(waits, 1), at(waits, 3))
}

// at is a quartile.
func at(list []float64, quarter int) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[(len(sorted)-1)*quarter/4]
}

// invocations gives the CPU of one of many.
func invocations(t *testing.T, b http.RoundTripper) time.Duration {
	t.Helper()
	const many = 300
	begin := cpu()
	for range many {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/orders?tag=x", strings.NewReader(`{"item":1,"many":"words"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("User-Agent", "curl/8.0")
		r.Header.Set("Accept", "*/*")
		x := &exchange.Exchange{ID: "req-1", Start: time.Now(), Host: "shop.dev", Route: "ANY /**", Client: exchange.Client{IP: netip.MustParseAddr("192.0.2.7")}}
		res, err := b.RoundTrip(exchange.With(r, x))
		if err != nil {
			t.Fatal(err)
		}
		if got := bodyOf(t, res); got != `{"id":1}` || res.StatusCode != http.StatusOK {
			t.Fatalf("got %d %q", res.StatusCode, got)
		}
	}
	return (cpu() - begin) / many
}
