// Package functions tests local functions with the vendors' own libraries. It is a module of its own, so that Weir
// depends on none of them.
package functions

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/secret"
	"github.com/weir-gateway/weir/internal/function"
	"github.com/weir-gateway/weir/internal/function/form/apigw"
	"github.com/weir-gateway/weir/internal/function/local"
)

// start builds the function in a folder of this module. Its contract is detected.
func start(t testing.TB, run string, change func(*local.Config)) function.Backend {
	t.Helper()
	return startLogged(t, slog.New(slog.DiscardHandler), run, change)
}

// startLogged is start with a log.
func startLogged(t testing.TB, log *slog.Logger, run string, change func(*local.Config)) function.Backend {
	t.Helper()
	definition := local.Definition()
	cfg, ok := definition.New().(*local.Config)
	if !ok {
		t.Fatal("the config is of another type")
	}
	cfg.Run, cfg.Queue.Wait = run, 2*time.Minute               // the first build may download modules
	cfg.Init, cfg.Timeout = new(time.Minute), 2*await.Patience // interpreters and their packages start slowly on a busy machine
	change(cfg)
	b, err := definition.Build(function.Env{Log: log, Secret: secret.Resolve, Dir: "."}, "orders", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return b
}

func unchanged(*local.Config) {}

func request(path, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "text/plain")
	return exchange.With(r, &exchange.Exchange{
		ID: "req-1", Start: time.Now(), Host: "shop.dev", Client: exchange.Client{IP: netip.MustParseAddr("192.0.2.7")},
	})
}

// send returns the whole answer; err is an error of the backend or of its body.
func send(b function.Backend, path, body string) (res *http.Response, text string, err error) {
	res, err = b.RoundTrip(request(path, body))
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	return res, string(raw), err
}

func wantFault(t testing.TB, err error, kind fault.Kind, internal string) {
	t.Helper()
	var f *fault.Fault
	if !errors.As(err, &f) || f.Code != kind.Code || !strings.Contains(f.Operator(), internal) {
		t.Errorf("the error is %v, want %s with %q", err, kind.Code, internal)
	}
}

func TestAWSLibraryAnswers(t *testing.T) {
	b := start(t, "lambda", unchanged)
	res, text, err := send(b, "/", "hello")
	if err != nil || res.StatusCode != 200 || text != "hello" || !slices.Equal(res.Header.Values("Set-Cookie"), []string{"a=1", "b=2"}) {
		t.Errorf("got %v %q, %v", res, text, err)
	}
	if note := b.Status().Note; !strings.Contains(note, "lambda") {
		t.Errorf("the contract was guessed wrongly: %s", note)
	}
}

func TestAWSLibraryStreams(t *testing.T) {
	b := start(t, "lambda", unchanged)
	res, text, err := send(b, "/stream", "")
	if err != nil || res.StatusCode != 201 || text != "data: 1\n\ndata: 2\n\n" ||
		res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Set-Cookie") != "a=1" {
		t.Errorf("got %v %q, %v", res, text, err)
	}
	_, text, err = send(b, "/stream-error", "")
	if text != "half" {
		t.Errorf("got %q", text)
	}
	wantFault(t, err, fault.FunctionError, "the disk is gone")
}

func TestAWSLibraryErrorsAndPanics(t *testing.T) {
	b := start(t, "lambda", unchanged)
	_, _, err := send(b, "/error", "")
	wantFault(t, err, fault.FunctionError, "errorString: no such order")
	_, _, err = send(b, "/panic", "") // the library answers, and then ends the process
	wantFault(t, err, fault.FunctionError, "out of tea")
	if _, text, err := send(b, "/", "alive"); err != nil || text != "alive" {
		t.Errorf("afterwards got %q, %v", text, err)
	}
}

func TestAWSLibrarySeesItsContext(t *testing.T) {
	b := start(t, "lambda", func(c *local.Config) { c.Memory, c.Timeout = 256<<20, time.Minute })
	_, text, err := send(b, "/context", "")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		ID, ARN, Name    string
		Memory, Deadline int64
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	left := time.Until(time.UnixMilli(got.Deadline))
	if len(got.ID) != 36 || got.ARN != "arn:aws:lambda:us-east-1:000000000000:function:orders" || got.Name != "orders" || got.Memory != 256 || left <= 0 || left > time.Minute {
		t.Errorf("the context is %+v, with %v left", got, left)
	}
}

// TestEventsAreAWSs decodes our event into AWS's struct and encodes it again: nothing may be lost, and nothing may be
// added that AWS does not know.
func TestEventsAreAWSs(t *testing.T) {
	r := request("/orders/a%2Fb?tag=x&tag=y", "\x00\xff")
	r.Header.Set("Content-Type", "image/png")
	r.Header["X-Many"] = []string{"1", "2"}
	r.Header["Cookie"] = []string{"a=1; b=2"}
	x := exchange.Of(r)
	x.Route = "POST /orders/{id}"
	x.Params.Add("id", "a/b")
	x.Identity = &exchange.Identity{Scopes: []string{"orders:write"}, Claims: exchange.ClaimsOf(map[string]any{"sub": "u1", "groups": []any{"a", "b"}})}
	ours := apigw.Encode(r, []byte("\x00\xff"))
	decoder := json.NewDecoder(strings.NewReader(string(ours)))
	decoder.DisallowUnknownFields()
	var event events.APIGatewayV2HTTPRequest
	if err := decoder.Decode(&event); err != nil {
		t.Fatal(err)
	}
	want := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: "POST /orders/{id}", RawPath: "/orders/a%2Fb", RawQueryString: "tag=x&tag=y",
		Cookies:               []string{"a=1", "b=2"},
		Headers:               map[string]string{"content-length": "2", "content-type": "image/png", "host": "example.com", "x-many": "1,2"},
		QueryStringParameters: map[string]string{"tag": "x,y"}, PathParameters: map[string]string{"id": "a/b"},
		RequestContext: events.APIGatewayV2HTTPRequestContext{
			RouteKey: "POST /orders/{id}", AccountID: "000000000000", Stage: "$default", RequestID: "req-1", APIID: "local",
			DomainName: "shop.dev", DomainPrefix: "shop", Time: event.RequestContext.Time, TimeEpoch: x.Start.UnixMilli(),
			Authorizer: &events.APIGatewayV2HTTPRequestContextAuthorizerDescription{JWT: &events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{
				Claims: map[string]string{"sub": "u1", "groups": "[a b]"}, Scopes: []string{"orders:write"},
			}},
			HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{Method: "POST", Path: "/orders/a%2Fb", Protocol: "HTTP/1.1", SourceIP: "192.0.2.7"},
		},
		Body: "AP8=", IsBase64Encoded: true,
	}
	if !reflect.DeepEqual(event, want) {
		t.Errorf("got  %+v\nwant %+v", event, want)
	}
}

func TestGoogleLibraryAnswers(t *testing.T) {
	b := start(t, "framework", func(c *local.Config) { c.Handler = "Echo" })
	res, text, err := send(b, "/any/path", "hello")
	if err != nil || res.StatusCode != 200 || text != "POST /any/path hello" {
		t.Errorf("got %v %q, %v", res, text, err)
	}
	if note := b.Status().Note; !strings.Contains(note, "contract http") {
		t.Errorf("the contract was guessed wrongly: %s", note)
	}
	if res, _, err := send(b, "/panic", ""); err != nil || res.StatusCode != 500 {
		t.Errorf("a panic became %v, %v; want the library's own 500", res, err)
	}
}

func TestSixteenClientsMeetNoError(t *testing.T) {
	for _, run := range []string{"lambda", "framework"} {
		t.Run(run, func(t *testing.T) {
			b := start(t, run, func(c *local.Config) { c.Handler = "Echo" })
			var clients sync.WaitGroup
			for range 16 {
				clients.Go(func() {
					for range 100 {
						if res, text, err := send(b, "/", "hello"); err != nil || res.StatusCode != 200 || !strings.HasSuffix(text, "hello") {
							t.Errorf("got %v %q, %v", res, text, err)
							return
						}
					}
				})
			}
			clients.Wait()
		})
	}
}

func BenchmarkWarm(b *testing.B) {
	for _, run := range []string{"lambda", "framework"} {
		b.Run(run, func(b *testing.B) {
			f := start(b, run, func(c *local.Config) { c.Handler = "Echo" })
			for b.Loop() {
				if _, _, err := send(f, "/", "hello"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
