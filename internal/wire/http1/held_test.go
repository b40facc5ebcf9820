package http1_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
)

// halting accepts a part of what is written, and then fails or panics.
type halting struct {
	bytes.Buffer

	panics bool
}

var errHalted = errors.New("no more is taken")

func (h *halting) Write(p []byte) (int, error) {
	n, _ := h.Buffer.Write(p[:len(p)/2])
	if h.panics {
		panic(errHalted)
	}
	return n, errHalted
}

// A body that has arrived with its head is written directly from the buffer it is in, and is then at its end. Any
// other body is copied as it arrives.
func TestABodyWritesItself(t *testing.T) {
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + strings.Repeat("x", 1024) + "\r\n0\r\n\r\n"
	for name, answer := range map[string]string{"of a length": usualAnswer, "in chunks": chunked, "empty": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			c := ownClient(func() (net.Conn, error) { return newParrot(t, answer), nil })
			defer c.CloseIdle()
			for range 2 {
				res, err := c.RoundTrip(proxied(t, "a", true))
				if err != nil {
					t.Fatal(err)
				}
				var got bytes.Buffer
				n, err := res.Body.(io.WriterTo).WriteTo(&got)
				if want := max(0, res.ContentLength); err != nil || n != int64(got.Len()) || name != "in chunks" && n != want || strings.Trim(got.String(), "x") != "" {
					t.Fatalf("%d bytes of %d, %v", n, want, err)
				}
				if n, err := res.Body.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
					t.Fatalf("%d, %v afterwards", n, err)
				}
				if err := res.Body.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// If the writer that takes a body fails or panics, the connection is still free for others, because all of the body
// had arrived.
func TestABodyThatIsNotTaken(t *testing.T) {
	for _, panics := range []bool{false, true} {
		dialled := 0
		c := ownClient(func() (net.Conn, error) { dialled++; return newParrot(t, usualAnswer), nil })
		for range 3 {
			res, err := c.RoundTrip(proxied(t, "a", true))
			if err != nil {
				t.Fatal(err)
			}
			func() {
				defer func() { _ = recover() }()
				if n, err := res.Body.(io.WriterTo).WriteTo(&halting{panics: panics}); n != 512 || !errors.Is(err, errHalted) {
					t.Errorf("%d, %v", n, err)
				}
			}()
			if n, err := res.Body.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
				t.Errorf("%d, %v afterwards", n, err)
			}
			_ = res.Body.Close()
		}
		if dialled != 1 {
			t.Errorf("%d connections were made", dialled)
		}
		c.CloseIdle()
	}
}

// The connection is free before its body is written: a client that reads nothing does not keep other requests waiting
// for it.
func TestABodyIsWrittenWhenItsConnectionIsFree(t *testing.T) {
	dialled := 0
	c := ownClient(func() (net.Conn, error) { dialled++; return newParrot(t, usualAnswer), nil })
	defer c.CloseIdle()
	res, err := c.RoundTrip(proxied(t, "a", true))
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	meanwhile := writing(func(p []byte) (int, error) {
		ask1KiB(t, c, proxied(t, "a", true), make([]byte, 4096))
		return got.Write(p)
	})
	if _, err := res.Body.(io.WriterTo).WriteTo(meanwhile); err != nil || got.String() != strings.Repeat("x", 1024) || dialled != 1 {
		t.Errorf("%v, %d bytes, %d connections", err, got.Len(), dialled)
	}
}

// Bytes behind the requested content answer no request. A connection on which they arrived is not used for another
// request.
func TestAConnectionThatBroughtMoreThanTheBodyThatWroteItselfIsClosed(t *testing.T) {
	for name, before := range map[string]int{"a fresh connection": 0, "a kept one": 1} {
		t.Run(name, func(t *testing.T) {
			e := newEndpoint(t, await.Patience)
			answer := e.ask(t.Context(), t, "GET", nil)
			conn, in := e.accepts(t)
			hears(t, in)
			for range before {
				says(t, conn, fine)
				(<-answer).writes(t)
				answer = e.ask(t.Context(), t, "GET", nil)
				hears(t, in)
			}
			says(t, conn, fine+"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
			(<-answer).writes(t)
			var serving sync.WaitGroup
			over := make(chan struct{})
			defer func() { close(over); _ = conn.Close(); serving.Wait() }()
			serving.Go(func() {
				if _, err := http.ReadRequest(in); err == nil {
					_, _ = io.WriteString(conn, fine)
				}
			})
			answer = e.ask(t.Context(), t, "GET", nil)
			serving.Go(func() {
				select {
				case another := <-e.conns:
					defer another.Close()
					if _, err := http.ReadRequest(bufio.NewReader(another)); err == nil {
						_, _ = io.WriteString(another, strings.Replace(fine, "ok", "OK", 1))
					}
				case <-over:
				}
			})
			if got := (<-answer).reads(t); got != "OK" || e.dials.Load() != 2 {
				t.Errorf("the answer is %q, over %d connections", got, e.dials.Load())
			}
		})
	}
}

// writes has the content of an answer write itself. The content is "ok" and has arrived with the head.
func (a answered) writes(t *testing.T) {
	t.Helper()
	if a.err != nil {
		t.Fatal(a.err)
	}
	defer func() { _ = a.res.Body.Close() }()
	var got bytes.Buffer
	whole := a.res.Body.(interface{ Whole() bool }).Whole()
	if _, err := a.res.Body.(io.WriterTo).WriteTo(&got); err != nil || got.String() != "ok" || !whole {
		t.Fatalf("it has written %q, %v; it had come whole: %t", got.String(), err, whole)
	}
}

type writing func(p []byte) (int, error)

func (w writing) Write(p []byte) (int, error) { return w(p) }

// If an endpoint keeps no connections open, its connections are not used again.
func TestAConnectionThatMayNotRestIsClosed(t *testing.T) {
	for timeout, want := range map[string]int{"0": 3, "60": 1} {
		dialled := 0
		c := ownClient(func() (net.Conn, error) {
			dialled++
			return newParrot(t, strings.Replace(usualAnswer, "\r\n\r\n", "\r\nKeep-Alive: timeout="+timeout+"\r\n\r\n", 1)), nil
		})
		for range 3 {
			ask1KiB(t, c, proxied(t, "a", true), make([]byte, 4096))
		}
		if dialled != want {
			t.Errorf("timeout=%s: %d connections, want %d", timeout, dialled, want)
		}
		c.CloseIdle()
	}
}

// TestBehindTheFirstPieceAllThatHasComeIsReadAtOnce checks that this includes what arrived with the head and did not
// fit into the first piece, however long the head is.
func TestBehindTheFirstPieceAllThatHasComeIsReadAtOnce(t *testing.T) {
	const length, first = 100 << 10, 1 << 10
	content := bytes.Repeat([]byte("0123456789abcdef"), length/16)
	for _, filler := range []int{0, 4700, 4870, 6000, 9000} { // length of the head in bytes; its buffer grows with it
		e := newEndpoint(t, time.Minute)
		answers := e.ask(t.Context(), t, http.MethodGet, nil)
		conn, in := e.accepts(t)
		if _, err := http.ReadRequest(in); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nX-Filler: %s\r\nContent-Length: %d\r\n\r\n%s", strings.Repeat("x", filler), length, content)
		}()
		answer := await.From(t, "an answer", answers)
		if answer.err != nil {
			t.Fatal(answer.err)
		}
		t.Cleanup(func() { _ = answer.res.Body.Close() })
		got := make([]byte, length)
		n, err := answer.res.Body.Read(got[:first])
		if err != nil {
			t.Fatal(err)
		}
		await.That(t, "all was read at once", func() bool {
			n += answer.res.Body.(exchange.Lent).ReadAtOnce(got[n:])
			return n == length
		})
		if end, err := answer.res.Body.Read(make([]byte, 1)); end != 0 || !errors.Is(err, io.EOF) || !bytes.Equal(got, content) {
			t.Errorf("behind a head of %d bytes it is another content, or has no end: %d, %v", filler, end, err)
		}
	}
}
