package http1_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-gateway/weir/internal/wire/http1"
)

// resting is a Sieve whose server has read and answered one request.
type resting struct {
	*http1.Sieve

	client net.Conn
	rests  chan *http1.Sieve
}

// idleAfterRequest has the server wait for the next request until idle is over. It must be called in a synctest
// bubble.
func idleAfterRequest(t *testing.T, idle time.Duration) *resting {
	t.Helper()
	client, server := net.Pipe()
	t.Cleanup(func() { _ = errors.Join(client.Close(), server.Close()) })
	r := &resting{client: client, rests: make(chan *http1.Sieve, 1)}
	r.Sieve = http1.NewSieve(server, &http1.Options{
		Limits: wide, HeadTime: 10 * time.Second, Rest: func(s *http1.Sieve) { r.rests <- s },
	}, time.Now().Add(time.Second))
	r.send(t, typicalHead)
	if _, err := r.Read(make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
	r.Next()
	if err := r.SetReadDeadline(time.Now().Add(idle)); err != nil {
		t.Fatal(err)
	}
	return r
}

// send has the client write one piece a second. Each write waits for a reader.
func (r *resting) send(t *testing.T, pieces ...string) {
	t.Helper()
	go func() {
		for i, piece := range pieces {
			if i > 0 {
				<-time.After(time.Second)
			}
			if _, err := io.WriteString(r.client, piece); err != nil {
				return // the test is over
			}
		}
	}()
}

// leaves has the server wait until the Sieve ends its wait.
func (r *resting) leaves(t *testing.T) {
	t.Helper()
	begun := time.Now()
	if n, err := r.Read(make([]byte, 4096)); n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %d bytes and %v, want an error that is no time-out", n, err)
	}
	if waited := time.Since(begun); waited != http1.RestAfter {
		t.Errorf("the server waited for %v, want %v", waited, http1.RestAfter)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if rests := <-r.rests; rests != r.Sieve {
		t.Fatal("another Sieve rests")
	}
}

func TestAServerDoesNotWaitForLong(t *testing.T) {
	for name, pieces := range map[string][]string{
		"a whole head": {typicalHead},
		"in pieces":    {typicalHead[:1], typicalHead[1:40], typicalHead[40:]},
		"two of them":  {typicalHead + typicalHead},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := idleAfterRequest(t, time.Minute)
				r.leaves(t)
				<-time.After(50 * time.Second)
				r.send(t, pieces...)
				if err := r.Await(); err != nil {
					t.Fatal(err)
				}
				<-time.After(time.Hour) // no deadline is left over
				got := make([]byte, 4096)
				n, err := r.Read(got)
				if string(got[:n]) != typicalHead || err != nil {
					t.Errorf("got %q and %v, want %q", got[:n], err, typicalHead)
				}
			})
		})
	}
}

func TestAHeadThatHasBegunRestsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := idleAfterRequest(t, time.Minute)
		r.send(t, typicalHead[:9], typicalHead[9:])
		r.leaves(t)
		if err := r.Await(); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 4096)
		if n, err := r.Read(got); string(got[:n]) != typicalHead || err != nil {
			t.Errorf("got %q and %v, want %q", got[:n], err, typicalHead)
		}
	})
}

// The limits on a waiting connection are the same with and without a server.
func TestRestingConnectionsHaveTheirTime(t *testing.T) {
	for name, test := range map[string]struct {
		send   string
		lasts  time.Duration // counted from the end of the previous request
		refuse bool
	}{
		"idle":           {lasts: time.Minute},
		"a slow head":    {send: "GET", lasts: 10 * time.Second, refuse: true},
		"an empty line":  {send: "\r\n", lasts: 10 * time.Second},
		"another client": {send: "\x00", lasts: http1.RestAfter, refuse: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				r := idleAfterRequest(t, time.Minute)
				r.leaves(t)
				if test.send != "" {
					r.send(t, test.send)
				}
				err := r.Await()
				if lasted := time.Since(begun).Truncate(time.Second); lasted != test.lasts.Truncate(time.Second) {
					t.Errorf("it lasted %v, want %v", lasted, test.lasts)
				}
				if refused := r.Fault() != nil; refused != test.refuse || refused != (err == nil) {
					t.Errorf("refused: %v, with %v", refused, err)
				}
			})
		})
	}
}

// If the server itself ends, or expects no further request, it closes the connection.
func TestWhatIsClosedOtherwiseDoesNotRest(t *testing.T) {
	for name, end := range map[string]func(r *resting) error{
		"at once":                      func(*resting) error { return nil },
		"by a deadline":                func(r *resting) error { return r.SetReadDeadline(time.Unix(1, 0)) },
		"by the end of idleness":       func(r *resting) error { return r.SetReadDeadline(time.Now().Add(time.Millisecond)) },
		"by the client":                func(r *resting) error { return r.client.Close() },
		"by what stands for a request": func(r *resting) error { r.send(t, "\x00"); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := idleAfterRequest(t, time.Minute)
				if err := end(r); err != nil {
					t.Fatal(err)
				}
				if name != "at once" {
					if _, err := io.Copy(io.Discard, struct{ io.Reader }{r}); err == nil && name == "by a deadline" {
						t.Error("a Read was not ended")
					}
				}
				_ = r.Close() // the test looks at what comes of it
				if _, err := r.client.Write([]byte("a")); err == nil || len(r.rests) > 0 {
					t.Errorf("the connection is open, %d rest", len(r.rests))
				}
			})
		})
	}
}
