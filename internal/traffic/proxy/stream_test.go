package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/freeport"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// both runs a test with every pair of protocols of client and backend.
func both(t *testing.T, run func(t *testing.T, front, back string)) {
	t.Helper()
	for _, front := range []string{transport.HTTP, transport.H2C} {
		for _, back := range []string{transport.HTTP, transport.H2C} {
			t.Run(front+" to "+back, func(t *testing.T) { run(t, front, back) })
		}
	}
}

func TestResponseIsPassedOn(t *testing.T) {
	both(t, func(t *testing.T, front, back string) {
		t.Helper()
		g := start(t, setup{protocol: back}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Set-Cookie", "a=1")
			w.Header().Add("Set-Cookie", "b=2")
			w.Header().Set("X-Seen", r.Method+" "+r.RequestURI+" "+r.Host)
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, "short and stout")
		}))
		req := request(t, "PATCH", g.URL+"/a%20b/c;d?q=1&q=%zz;x", nil)
		req.Host = "shop.dev"
		res := do(t, client(t, front), req)
		if res.StatusCode != http.StatusTeapot || read(t, res.Body) != "short and stout" || res.ContentLength != 15 {
			t.Errorf("status %d, length %d", res.StatusCode, res.ContentLength)
		}
		if got := res.Header.Values("Set-Cookie"); len(got) != 2 || got[0] != "a=1" {
			t.Errorf("Set-Cookie %q", got)
		}
		if got, want := res.Header.Get("X-Seen"), "PATCH /a%20b/c;d?q=1&q=%zz;x shop.dev"; got != want {
			t.Errorf("the backend saw %q, not %q", got, want)
		}
		await.That(t, "the end of the request in flight", g.idleAgain)
	})
}

func TestHeadRequestKeepsTheLengthAndHasNoBody(t *testing.T) {
	both(t, func(t *testing.T, front, back string) {
		t.Helper()
		g := start(t, setup{protocol: back}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1234")
		}))
		res := do(t, client(t, front), request(t, "HEAD", g.URL+"/", nil))
		if res.ContentLength != 1234 || read(t, res.Body) != "" {
			t.Errorf("length %d", res.ContentLength)
		}
	})
}

func TestStatusesWithoutBody(t *testing.T) {
	for _, status := range []int{http.StatusNoContent, http.StatusNotModified, http.StatusResetContent} {
		g := start(t, setup{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		res := do(t, client(t, transport.HTTP), request(t, "GET", g.URL+"/", nil))
		if res.StatusCode != status || read(t, res.Body) != "" {
			t.Errorf("%d became %d", status, res.StatusCode)
		}
	}
}

func TestFirstByteArrivesBeforeTheBackendEnds(t *testing.T) {
	for name, length := range map[string]string{"unknown length": "", "known length": "4"} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, front, back string) {
				t.Helper()
				more := make(chan struct{})
				g := start(t, setup{protocol: back}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					if length != "" {
						w.Header().Set("Content-Length", length)
					}
					_, _ = io.WriteString(w, "ab")
					_ = http.NewResponseController(w).Flush()
					<-more
					_, _ = io.WriteString(w, "cd")
				}))
				res := do(t, client(t, front), request(t, "GET", g.URL+"/", nil))
				piece := make([]byte, 2)
				if _, err := io.ReadFull(res.Body, piece); err != nil || string(piece) != "ab" {
					t.Fatalf("%q, %v", piece, err)
				}
				close(more)
				if rest := read(t, res.Body); rest != "cd" {
					t.Errorf("the rest is %q", rest)
				}
			})
		})
	}
}

func TestHeadArrivesBeforeTheFirstEvent(t *testing.T) {
	both(t, func(t *testing.T, front, back string) {
		t.Helper()
		more := make(chan struct{})
		g := start(t, setup{protocol: back}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(w).Flush()
			<-more
			_, _ = io.WriteString(w, "data: 1\n\n")
		}))
		res := do(t, client(t, front), request(t, "GET", g.URL+"/", nil)) // returns as soon as the head has arrived
		if res.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("head %v", res.Header)
		}
		close(more)
		if got := read(t, res.Body); got != "data: 1\n\n" {
			t.Errorf("events %q", got)
		}
	})
}

// Each message is answered before the next one is sent, as in a gRPC call that streams in both directions.
func TestBothDirectionsStreamAtTheSameTime(t *testing.T) {
	both(t, func(t *testing.T, front, back string) {
		t.Helper()
		g := start(t, setup{protocol: back}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := http.NewResponseController(w)
			_ = c.EnableFullDuplex()
			_ = c.Flush()
			lines := bufio.NewScanner(r.Body)
			for lines.Scan() {
				_, _ = io.WriteString(w, "echo "+lines.Text()+"\n")
				_ = c.Flush()
			}
		}))
		in, out := io.Pipe()
		defer func() { _ = out.Close() }()
		req := request(t, "POST", g.URL+"/", in)
		go func() { _, _ = io.WriteString(out, "first\n") }()
		res := do(t, client(t, front), req)
		lines := bufio.NewReader(res.Body)
		for _, next := range []string{"second", "third", ""} {
			line, err := lines.ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "echo ") {
				t.Fatalf("%q, %v", line, err)
			}
			if next != "" {
				if _, err := io.WriteString(out, next+"\n"); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = out.Close()
		if rest := read(t, lines); rest != "" {
			t.Errorf("rest %q", rest)
		}
	})
}

func TestTrailersGoBothWays(t *testing.T) {
	both(t, func(t *testing.T, front, back string) {
		t.Helper()
		g := start(t, setup{protocol: back}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Answer, X-Managed, X-Forwarded-Host")
			_, _ = io.Copy(w, r.Body)
			w.Header().Set("X-Answer", "to "+r.Trailer.Get("X-Question"))
			w.Header().Set(http.TrailerPrefix+"X-Late", "unannounced")
			w.Header().Set("X-Managed", r.Trailer.Get("X-Forwarded-For"))
			w.Header().Set("X-Forwarded-Host", "evil")
		}))
		req := request(t, "POST", g.URL+"/", io.MultiReader(strings.NewReader("hello")))
		req.Header.Set("Te", "trailers")
		req.Trailer = http.Header{"X-Question": {"why"}, "X-Forwarded-For": {"6.6.6.6"}}
		res := do(t, client(t, front), req)
		if got := read(t, res.Body); got != "hello" {
			t.Errorf("body %q", got)
		}
		want := http.Header{"X-Answer": {"to why"}, "X-Late": {"unannounced"}, "X-Managed": {""}}
		if !maps.EqualFunc(res.Trailer, want, slices.Equal) {
			t.Errorf("trailers %v, not %v", res.Trailer, want)
		}
	})
}

func TestTrailersAreDroppedForAnHTTP1ClientThatDidNotAsk(t *testing.T) {
	g := start(t, setup{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "hello")
		w.Header().Set("X-Sum", "1")
	}))
	res := do(t, client(t, transport.HTTP), request(t, "GET", g.URL+"/", nil))
	if read(t, res.Body) != "hello" || len(res.Trailer) != 0 {
		t.Errorf("trailers %v", res.Trailer)
	}
}

func TestGRPCIsPassedOn(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"message and trailers": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("X-Te", r.Header.Get("Te")+" "+r.Header.Get("Grpc-Timeout"))
			_, _ = io.Copy(w, r.Body)
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		},
		"trailers only": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("X-Te", r.Header.Get("Te")+" "+r.Header.Get("Grpc-Timeout"))
			w.Header().Set("Grpc-Status", "5")
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, setup{protocol: transport.GRPC}, handler)
			req := request(t, "POST", g.URL+"/users.Users/Get", io.MultiReader(strings.NewReader("\x00\x00\x00\x00\x01x")))
			req.Header.Set("Content-Type", "application/grpc")
			req.Header.Set("Te", "trailers")
			req.Header.Set("Grpc-Timeout", "1S")
			res := do(t, client(t, transport.H2C), req)
			body := read(t, res.Body)
			status := res.Trailer.Get("Grpc-Status") + res.Header.Get("Grpc-Status")
			if res.StatusCode != http.StatusOK || status == "" || res.Header.Get("X-Te") != "trailers 1S" {
				t.Errorf("%d, head %v, body %q, trailers %v", res.StatusCode, res.Header, body, res.Trailer)
			}
			if name == "message and trailers" && (body != "\x00\x00\x00\x00\x01x" || status != "0") {
				t.Errorf("message %q, status %s", body, status)
			}
			if name == "trailers only" && (body != "" || status != "5") {
				t.Errorf("message %q, status %s", body, status)
			}
		})
	}
}

func TestAGRPCClientIsToldInItsOwnWords(t *testing.T) {
	g := start(t, setup{protocol: transport.GRPC, addresses: []string{freeport.Address(t)}}, nil)
	req := request(t, "POST", g.URL+"/users.Users/Get", strings.NewReader(""))
	req.Header.Set("Content-Type", "application/grpc")
	res := do(t, client(t, transport.H2C), req)
	if res.StatusCode != http.StatusOK || res.Header.Get("Grpc-Status") != "14" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

func TestEarlyHintsArePassedOn(t *testing.T) {
	both(t, func(t *testing.T, front, back string) {
		t.Helper()
		g := start(t, setup{protocol: back}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
			_, _ = io.WriteString(w, "page")
		}))
		var mu sync.Mutex
		var hints []string
		req := request(t, "GET", g.URL+"/", nil)
		req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
				mu.Lock()
				defer mu.Unlock()
				if code == http.StatusEarlyHints {
					hints = append(hints, header.Get("Link"))
				}
				return nil
			},
		}))
		res := do(t, client(t, front), req)
		mu.Lock()
		defer mu.Unlock()
		if len(hints) != 1 || hints[0] != "</a.css>; rel=preload" || read(t, res.Body) != "page" || res.Header.Get("Link") != "" {
			t.Errorf("hints %q, head %v", hints, res.Header)
		}
	})
}

func TestContinueIsSaidWhenTheBackendReads(t *testing.T) {
	both(t, func(t *testing.T, front, back string) {
		t.Helper()
		g := start(t, setup{protocol: back}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/refuse" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			_, _ = io.Copy(w, r.Body)
		}))
		send := func(path string) (*http.Response, bool) {
			continued := make(chan struct{}, 1)
			req := request(t, "POST", g.URL+path, strings.NewReader("payload"))
			req.Header.Set("Expect", "100-continue")
			req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
				Got100Continue: func() { continued <- struct{}{} },
			}))
			res := do(t, client(t, front), req)
			return res, len(continued) == 1
		}
		if res, continued := send("/take"); !continued || read(t, res.Body) != "payload" {
			t.Errorf("status %d, continued %v", res.StatusCode, continued)
		}
		if front == transport.H2C {
			return // the HTTP/2 server does not show the Expect header: only the first read shows that 100 Continue is due
		}
		if res, continued := send("/refuse"); continued || res.StatusCode != http.StatusUnauthorized {
			t.Errorf("status %d, continued %v: the body was asked for in vain", res.StatusCode, continued)
		}
	})
}

func TestBodyOverTheLimitIsRefused(t *testing.T) {
	for name, body := range map[string]func() io.Reader{
		"before it is read, by its length": func() io.Reader { return strings.NewReader(strings.Repeat("x", 11)) },
		// No more than a client sends at once: bytes that arrive on a connection that is being closed reset it,
		// unless it is a connection of package listen.
		"while it is read": func() io.Reader { return io.MultiReader(strings.NewReader(strings.Repeat("x", 2000))) },
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, front, back string) {
				t.Helper()
				g := start(t, setup{protocol: back, bodyBytes: 10, retry: 2}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					if _, err := io.Copy(io.Discard, r.Body); err == nil {
						t.Error("the backend saw a whole body")
					}
				}))
				res := do(t, client(t, front), request(t, "POST", g.URL+"/", body()))
				if res.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(read(t, res.Body), "body-too-large") {
					t.Errorf("status %d", res.StatusCode)
				}
			})
		})
	}
	t.Run("but not at the limit", func(t *testing.T) {
		g := start(t, setup{bodyBytes: 10}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
		res := do(t, client(t, transport.HTTP), request(t, "POST", g.URL+"/", io.MultiReader(strings.NewReader("0123456789"))))
		if got := read(t, res.Body); got != "0123456789" {
			t.Errorf("%d %q", res.StatusCode, got)
		}
	})
}

func TestABackendThatBreaksOffAbortsTheClient(t *testing.T) {
	for name, head := range map[string]string{
		"known length": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
		"chunked":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	} {
		for _, front := range []string{transport.HTTP, transport.H2C} {
			t.Run(name+" to "+front, func(t *testing.T) {
				address := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
					readHead(r)
					_, _ = io.WriteString(c, head)
				})
				g := start(t, setup{addresses: []string{address}, retry: 3}, nil)
				res := do(t, client(t, front), request(t, "GET", g.URL+"/", nil))
				got, err := io.ReadAll(res.Body)
				if err == nil || len(got) > 4 {
					t.Errorf("a cut body looks whole: %q", got)
				}
				if code := await.From(t, "the end", g.faults); code != "backend-reset" {
					t.Errorf("fault %q", code)
				}
				await.That(t, "the end of the request in flight", g.idleAgain)
			})
		}
	}
}

func TestAClientThatLeavesCancelsTheBackend(t *testing.T) {
	both(t, func(t *testing.T, front, back string) {
		t.Helper()
		arrived, cancelled := make(chan struct{}), make(chan struct{})
		g := start(t, setup{protocol: back}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(arrived)
			<-r.Context().Done()
			close(cancelled)
		}))
		ctx, leave := context.WithCancel(context.Background())
		defer leave()
		req := request(t, "GET", g.URL+"/", nil).WithContext(ctx)
		go func() {
			<-arrived
			leave()
		}()
		if res, err := client(t, front).Do(req); err == nil {
			_ = res.Body.Close()
			t.Fatal("a response")
		}
		await.From(t, "the cancellation at the backend", cancelled)
		if code := await.From(t, "the end", g.faults); code != "client-gone" {
			t.Errorf("fault %q", code)
		}
		await.That(t, "the end of the request in flight", g.idleAgain)
	})
}

func TestASlowHeadIsATimeout(t *testing.T) {
	both(t, func(t *testing.T, front, back string) {
		t.Helper()
		g := start(t, setup{protocol: back, timeouts: config.Timeouts{Head: 20 * time.Millisecond}}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}))
		res := do(t, client(t, front), request(t, "POST", g.URL+"/", strings.NewReader("body")))
		if res.StatusCode != http.StatusGatewayTimeout || !strings.Contains(read(t, res.Body), "backend-timeout") {
			t.Errorf("status %d", res.StatusCode)
		}
	})
}

func TestABodyThatStallsIsATimeout(t *testing.T) {
	stall := config.Timeouts{Idle: 200 * time.Millisecond} // longer than a busy machine takes to read a piece that has arrived
	both(t, func(t *testing.T, front, back string) {
		t.Helper()
		t.Run("of the backend, after its head", func(t *testing.T) {
			g := start(t, setup{protocol: back, timeouts: stall}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "half")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}))
			res := do(t, client(t, front), request(t, "GET", g.URL+"/", nil))
			if got, err := io.ReadAll(res.Body); err == nil {
				t.Errorf("a cut body looks whole: %q", got)
			}
			if code := await.From(t, "the end", g.faults); code != "backend-timeout" {
				t.Errorf("fault %q", code)
			}
		})
		t.Run("of the client, before the head", func(t *testing.T) {
			g := start(t, setup{protocol: back, timeouts: stall}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
			}))
			in, out := io.Pipe()
			defer func() { _ = out.Close() }()
			go func() { _, _ = io.WriteString(out, "half") }()
			res, err := client(t, front).Do(request(t, "POST", g.URL+"/", in))
			if err == nil {
				_ = res.Body.Close()
				if res.StatusCode != http.StatusRequestTimeout {
					t.Errorf("status %d", res.StatusCode)
				}
			} else if front == transport.H2C {
				t.Error(err)
			}
			if code := await.From(t, "the end", g.faults); code != "request-timeout" {
				t.Errorf("fault %q", code)
			}
		})
	})
}

func TestAPauseBeforeTheHeadIsNoStall(t *testing.T) {
	const idle = 200 * time.Millisecond // longer than a busy machine takes to read a piece that has arrived
	g := start(t, setup{timeouts: config.Timeouts{Idle: idle}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-time.After(3 * idle)
		_, _ = io.WriteString(w, "thought about it")
	}))
	res := do(t, client(t, transport.HTTP), request(t, "POST", g.URL+"/", strings.NewReader("question")))
	if got := read(t, res.Body); got != "thought about it" {
		t.Errorf("%d %q", res.StatusCode, got)
	}
}

func TestTheWholeExchangeIsBounded(t *testing.T) {
	both(t, func(t *testing.T, front, back string) {
		t.Helper()
		g := start(t, setup{protocol: back, timeouts: config.Timeouts{Total: 30 * time.Millisecond}}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}))
		res := do(t, client(t, front), request(t, "GET", g.URL+"/", nil))
		if res.StatusCode != http.StatusGatewayTimeout {
			t.Errorf("status %d", res.StatusCode)
		}
	})
}

// A client that does not read must not hold the backend's connection for ever.
func TestAClientThatDoesNotReadIsATimeout(t *testing.T) {
	both(t, func(t *testing.T, front, back string) {
		t.Helper()
		g := start(t, setup{protocol: back, timeouts: config.Timeouts{Idle: 200 * time.Millisecond}}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			piece := make([]byte, 1<<20)
			for {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		}))
		res := do(t, client(t, front), request(t, "GET", g.URL+"/", nil))
		await.From(t, "the end", g.outcomes) // nobody has read the body
		await.That(t, "the end of the request in flight", g.idleAgain)
		if _, err := io.Copy(io.Discard, res.Body); err == nil {
			t.Error("a cut body looks whole")
		}
	})
}

func TestEmptyServiceIsNever404(t *testing.T) {
	g := start(t, setup{}, nil)
	res := do(t, client(t, transport.HTTP), request(t, "GET", g.URL+"/", nil))
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "1" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

func TestAResponseThatIsNoHTTP(t *testing.T) {
	for name, answer := range map[string]string{
		"no HTTP at all":    "SSH-2.0-OpenSSH_9.6\r\n",
		"status below 100":  "HTTP/1.1 042 Odd\r\nContent-Length: 0\r\n\r\n",
		"two lengths":       "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
		"unasked 101":       "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"a head of 200 KiB": "HTTP/1.1 200 OK\r\nX-Big: " + strings.Repeat("x", 200<<10) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			address := rawBackend(t, func(c net.Conn, r *bufio.Reader) {
				readHead(r)
				_, _ = io.WriteString(c, answer)
				_, _ = io.Copy(io.Discard, r) // until the gateway closes: the test looks at the fault, not at how the connection ends
			})
			g := start(t, setup{addresses: []string{address}}, nil)
			res := do(t, client(t, transport.HTTP), request(t, "GET", g.URL+"/", nil))
			if body := read(t, res.Body); res.StatusCode != http.StatusBadGateway || !strings.Contains(body, "backend-invalid-response") {
				t.Errorf("%d %s", res.StatusCode, body)
			}
		})
	}
}

// After an early answer, no goroutine may go on reading the client's body.
func TestAnEarlyAnswerEndsTheUpload(t *testing.T) {
	ends := []error{io.EOF, io.ErrUnexpectedEOF, syscall.EPIPE, syscall.ECONNRESET} // a backend that resets its stream may cut off its answer
	both(t, func(t *testing.T, front, back string) {
		t.Helper()
		g := start(t, setup{protocol: back}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).EnableFullDuplex() // otherwise net/http's server reads the body first
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "no")
		}))
		in, out := io.Pipe()
		defer func() { _ = out.Close() }()
		go func() { _, _ = io.WriteString(out, "begin") }()
		type answer struct {
			res *http.Response
			err error
		}
		answers, c, req := make(chan answer, 1), client(t, front), request(t, "POST", g.URL+"/", in)
		go func() {
			res, err := c.Do(req)
			answers <- answer{res, err}
		}()
		await.From(t, "the end", g.outcomes)
		_ = out.Close() // if the connection ends before net/http's client has read the answer, the client waits for this Read
		got := await.From(t, "the answer", answers)
		if got.err == nil {
			if body := read(t, got.res.Body); got.res.StatusCode != http.StatusForbidden || body != "no" {
				t.Errorf("%d %q", got.res.StatusCode, body)
			}
			_ = got.res.Body.Close()
		} else if !slices.ContainsFunc(ends, func(end error) bool { return errors.Is(got.err, end) }) {
			t.Error(got.err)
		}
	})
}

// The rest of an upload cannot be told from a next request, and net/http must not look for the end of the upload once
// the handler has returned: two goroutines would read.
func TestAnEarlyAnswerEndsAnHTTP1ClientsConnection(t *testing.T) {
	for name, answer := range map[string]string{
		"response": "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
		"problem":  "no HTTP at all\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, setup{addresses: []string{rawBackend(t, func(c net.Conn, r *bufio.Reader) {
				readHead(r)
				_, _ = io.WriteString(c, answer)
				_, _ = io.Copy(io.Discard, r)
			})}}, nil)
			const ahead, least, length = 64 << 10, 20_000, 100_000
			conn, in := raw(t, g, fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", length)+strings.Repeat(".", ahead))
			answered := make(chan struct{})
			sent := make(chan int)
			go func() {
				n := 0
				for ; n < least; n++ {
					select {
					case <-answered:
						sent <- n
						return
					case <-time.After(time.Millisecond):
						_, _ = conn.Write([]byte("."))
					}
				}
				sent <- n
			}()
			res, err := http.ReadResponse(in, nil)
			close(answered)
			n := <-sent
			if err != nil {
				t.Fatal(err)
			}
			read(t, res.Body)
			if !res.Close {
				t.Error("the client is not told that the connection ends")
			}
			rest := strings.Repeat(".", length-ahead-n) + "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
			_, _ = io.WriteString(conn, rest) // the gateway may have closed the connection already
			if more, err := io.ReadAll(in); len(more) > 0 {
				t.Errorf("then %q, %v", more, err)
			}
			if await.From(t, "the end", g.outcomes); len(g.outcomes) != 0 {
				t.Error("the rest of the connection was served")
			}
		})
	}
}

func TestAProblemKeepsTheConnectionOfAClientThatHasSentItsBody(t *testing.T) {
	g := start(t, setup{addresses: []string{"127.0.0.1:1"}}, nil)
	text := "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nwhole"
	_, in := raw(t, g, text+text)
	for range 2 {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if read(t, res.Body); res.StatusCode != http.StatusBadGateway || res.Close {
			t.Errorf("%d, close %t", res.StatusCode, res.Close)
		}
	}
}
