package http1_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

// halting takes a part of what it is given, and then fails or panics.
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

// A body that has come with its head is written from where it lies, and is over then; one that has not is copied as it comes.
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

// Whoever takes a body and fails, or panics, has it closed as any other.
func TestABodyThatIsNotTaken(t *testing.T) {
	for _, panics := range []bool{false, true} {
		parrot := newParrot(t, usualAnswer)
		c := ownClient(func() (net.Conn, error) { return parrot, nil })
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
		_ = res.Body.Close()
		select {
		case <-parrot.closed: // for what is left of it belongs to nobody
		default:
			t.Error("the connection is kept")
		}
		c.CloseIdle()
	}
}
