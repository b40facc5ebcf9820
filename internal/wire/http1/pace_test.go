package http1_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/wire/http1"
	"github.com/weir-gateway/weir/internal/wire/pace"
)

const rate = 240

// upload has a client send a request through a Sieve, and returns the request and the reasons that the Sieve
// reported. Time is that of the bubble. The client closes its connection once it has sent everything.
func upload(t *testing.T, head string, send func(client net.Conn)) (r *http.Request, slow *[]http1.Reason) {
	t.Helper()
	client, server := net.Pipe()
	slow = new([]http1.Reason)
	sieve := http1.NewSieve(server, &http1.Options{
		Limits: wide, BodyRate: rate, Slow: func(_ net.Addr, r http1.Reason, _ bool) { *slow = append(*slow, r) },
	}, time.Time{})
	go func() {
		_, _ = io.WriteString(client, "POST / HTTP/1.1\r\nHost: a\r\n"+head+"\r\n\r\n") // the pipe may be closed
		send(client)
		_ = client.Close()
	}()
	r, err := http.ReadRequest(bufio.NewReader(sieve))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = server.Close(), client.Close() })
	return r, slow
}

// pass lets d pass on the clock of the bubble, or less if the test ends.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

func wantCut(t *testing.T, err error, slow []http1.Reason, after, want time.Duration) {
	t.Helper()
	var f *fault.Fault
	if !errors.As(err, &f) || f.Status != http.StatusRequestTimeout {
		t.Errorf("the content ended with %v, want a 408", err)
	}
	if len(slow) != 1 || slow[0] != http1.ContentTooSlow {
		t.Errorf("told was %v", slow)
	}
	if after < want || after > want+time.Second {
		t.Errorf("it was cut after %v, want %v", after, want)
	}
}

func TestSlowContentIsCut(t *testing.T) {
	for name, test := range map[string]struct{ head, first string }{
		"by length":      {"Content-Length: 1000", "abc"},
		"in chunks":      {"Transfer-Encoding: chunked", "3e8\r\nabc"},
		"in the trailer": {"Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\na: b\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, slow := upload(t, test.head, func(client net.Conn) {
					_, _ = io.WriteString(client, test.first)
					pass(t, time.Hour)
				})
				start := time.Now()
				body, err := io.ReadAll(r.Body)
				if string(body) != "abc" {
					t.Errorf("came %q", body)
				}
				wantCut(t, err, *slow, time.Since(start), pace.Grace)
			})
		})
	}
}

// A byte now and then does not keep a connection open: each byte is worth only the time that the minimum rate allows
// for it.
func TestTricklingContentIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, slow := upload(t, "Content-Length: 100000", func(client net.Conn) {
			for range 100 {
				_, _ = client.Write([]byte{'a'})
				pass(t, time.Second)
			}
		})
		start := time.Now()
		_, err := io.ReadAll(r.Body)
		wantCut(t, err, *slow, time.Since(start), pace.Grace)
	})
}

func TestContentThatKeepsItsRatePasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pieces = 3000
		r, slow := upload(t, "Transfer-Encoding: chunked", func(client net.Conn) {
			for range pieces {
				_, _ = io.WriteString(client, "18\r\n"+strings.Repeat("a", rate/10)+"\r\n")
				pass(t, 100*time.Millisecond)
			}
			_, _ = io.WriteString(client, "0\r\n\r\n")
		})
		body, err := io.ReadAll(r.Body)
		if err != nil || len(body) != pieces*rate/10 || len(*slow) > 0 {
			t.Errorf("%d bytes came, then %v; told was %v", len(body), err, *slow)
		}
	})
}

func TestPauseAfterMuchContentIsNoFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 100_000
		r, slow := upload(t, "Content-Length: 100000", func(client net.Conn) {
			_, _ = io.WriteString(client, strings.Repeat("a", size/2))
			pass(t, pace.Credit)
			_, _ = io.WriteString(client, strings.Repeat("a", size/2))
		})
		if body, err := io.ReadAll(r.Body); err != nil || len(body) != size || len(*slow) > 0 {
			t.Errorf("%d bytes came, then %v; told was %v", len(body), err, *slow)
		}
	})
}

// It is not the client's fault if a backend is slow to read a body.
func TestTimeOfTheServerDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 50_000
		r, slow := upload(t, "Content-Length: 50000", func(client net.Conn) {
			_, _ = io.WriteString(client, strings.Repeat("a", size))
		})
		got, piece := 0, make([]byte, 10_000)
		for got < size {
			pass(t, time.Hour)
			n, err := r.Body.Read(piece)
			if got += n; err != nil && !errors.Is(err, io.EOF) {
				t.Fatalf("%d bytes came, then %v; told was %v", got, err, *slow)
			}
		}
	})
}
