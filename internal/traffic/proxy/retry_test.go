package proxy_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/freeport"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// resetting is a backend that reads a whole request and then cuts the connection.
func resetting(tb testing.TB, requests *atomic.Int32) string {
	tb.Helper()
	return rawBackend(tb, func(c net.Conn, r *bufio.Reader) {
		if req, err := http.ReadRequest(r); err == nil {
			_, _ = io.Copy(io.Discard, req.Body)
			requests.Add(1)
		}
		_ = c.(*net.TCPConn).SetLinger(0)
	})
}

func echo(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).EnableFullDuplex()
	_, _ = io.Copy(w, r.Body)
}

func TestADeadEndpointCostsNoMethodItsRequest(t *testing.T) {
	both(t, func(t *testing.T, front, back string) {
		t.Helper()
		g := start(t, setup{protocol: back, retry: 1, addresses: []string{freeport.Address(t)}}, http.HandlerFunc(echo))
		c := client(t, front)
		for i := range 20 {
			res := do(t, c, request(t, []string{"POST", "PATCH"}[i%2], g.URL+"/", io.MultiReader(strings.NewReader("payload"))))
			if got := read(t, res.Body); res.StatusCode != http.StatusOK || got != "payload" {
				t.Fatalf("%d %q", res.StatusCode, got)
			}
		}
	})
}

func TestAnUnsafeRequestThatWasSentIsNotRepeated(t *testing.T) {
	var requests atomic.Int32
	g := start(t, setup{retry: 3, addresses: []string{resetting(t, &requests), resetting(t, &requests)}}, nil)
	res := do(t, client(t, transport.HTTP), request(t, "POST", g.URL+"/", strings.NewReader("payload")))
	if res.StatusCode != http.StatusBadGateway || !strings.Contains(read(t, res.Body), "backend-reset") {
		t.Errorf("status %d", res.StatusCode)
	}
	if n := requests.Load(); n != 1 {
		t.Errorf("the request was sent %d times", n)
	}
}

func TestAnIdempotentRequestIsRepeatedElsewhere(t *testing.T) {
	for name, prepare := range map[string]func(*http.Request){
		"PUT":                          func(r *http.Request) { r.Method = "PUT" },
		"DELETE":                       func(r *http.Request) { r.Method = "DELETE" },
		"POST with an Idempotency-Key": func(r *http.Request) { r.Header.Set("Idempotency-Key", "1") },
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int32
			g := start(t, setup{retry: 1, addresses: []string{resetting(t, &requests)}}, http.HandlerFunc(echo))
			c := client(t, transport.HTTP)
			for range 20 {
				req := request(t, "POST", g.URL+"/", strings.NewReader("payload"))
				prepare(req)
				res := do(t, c, req)
				if got := read(t, res.Body); res.StatusCode != http.StatusOK || got != "payload" {
					t.Fatalf("%d %q", res.StatusCode, got)
				}
			}
			if requests.Load() == 0 {
				t.Error("the broken endpoint was never tried")
			}
		})
	}
}

// The trailers of a client arrive at the end of its content, at the moment when a second try may be announcing their
// names.
func TestTrailersComeWithEachTry(t *testing.T) {
	both(t, func(t *testing.T, front, back string) {
		t.Helper()
		for range 10 {
			client := client(t, front)
			in, out := io.Pipe()
			ended := make(chan struct{})
			end := sync.OnceFunc(func() { close(ended) })
			first := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
				_, _ = r.ReadByte()
				_ = c.(*net.TCPConn).SetLinger(0)
				end()
			})
			g := start(t, setup{protocol: back, retry: 1, addresses: []string{first}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				end()
				_, _ = io.Copy(w, r.Body)
				_, _ = io.WriteString(w, ", "+r.Trailer.Get("X-End"))
			}))
			go func() {
				_, _ = io.WriteString(out, "payload")
				<-ended
				_ = out.Close()
			}()
			req := request(t, "PUT", g.URL+"/", in)
			req.Trailer = http.Header{"X-End": {"ended"}}
			res := do(t, client, req)
			if got := read(t, res.Body); res.StatusCode != http.StatusOK || got != "payload, ended" {
				t.Errorf("%d %q", res.StatusCode, got)
			}
		}
	})
}

func TestABodyTooLongToHoldIsNotRepeated(t *testing.T) {
	var requests atomic.Int32
	g := start(t, setup{retry: 3, addresses: []string{resetting(t, &requests)}}, nil)
	res := do(t, client(t, transport.HTTP), request(t, "PUT", g.URL+"/", strings.NewReader(strings.Repeat("x", 1<<20))))
	if res.StatusCode != http.StatusBadGateway || requests.Load() != 1 {
		t.Errorf("status %d after %d requests", res.StatusCode, requests.Load())
	}
}

func TestManyRequestsAtOnce(t *testing.T) {
	both(t, func(t *testing.T, front, back string) {
		t.Helper()
		g := start(t, setup{protocol: back, retry: 1}, http.HandlerFunc(echo))
		c := client(t, front)
		errs := make(chan error, 100)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				want := strings.Repeat("x", 10_000)
				res, err := c.Do(request(t, "POST", g.URL+"/", io.MultiReader(strings.NewReader(want))))
				if err != nil {
					errs <- err
					return
				}
				defer func() { _ = res.Body.Close() }()
				if got, err := io.ReadAll(res.Body); err != nil || string(got) != want {
					errs <- errors.Join(err, errors.New("another body came back"))
				}
			})
		}
		all.Wait()
		close(errs)
		for err := range errs {
			t.Error(err)
		}
		await.That(t, "the end of the requests in flight", g.idleAgain)
	})
}

func BenchmarkProxy(b *testing.B) {
	for _, back := range []string{transport.HTTP, transport.H2C} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			b.Run(method+" 1 KiB from "+back, func(b *testing.B) { benchmarkProxy(b, method, back) })
		}
	}
}

func benchmarkProxy(b *testing.B, method, back string) {
	b.Helper()
	kilobyte := []byte(strings.Repeat("x", 1024))
	g := start(b, setup{protocol: back, retry: 1}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(kilobyte)
	}))
	c := client(b, transport.HTTP)
	b.ReportAllocs()
	for b.Loop() {
		var body io.Reader
		if method == http.MethodPost {
			body = bytes.NewReader(kilobyte)
		}
		req, err := http.NewRequestWithContext(b.Context(), method, g.URL, body)
		if err != nil {
			b.Fatal(err)
		}
		res, err := c.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		<-g.outcomes
		<-g.faults
	}
}
