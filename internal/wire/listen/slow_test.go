package listen_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/http2"
	"github.com/weir-gateway/weir/internal/wire/listen"
)

// lasts returns how long the server keeps a connection on which nothing more is sent.
func lasts(t *testing.T, conn net.Conn) time.Duration {
	t.Helper()
	start := time.Now()
	if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the connection ended with %v", err)
	}
	return time.Since(start)
}

func wantLasted(t *testing.T, got, want time.Duration) {
	t.Helper()
	// net/http lets one second more pass between GOAWAY and the end.
	if got < want || got > want+1100*time.Millisecond {
		t.Errorf("the connection lasted %v, want %v", got, want)
	}
}

func wantTold(t *testing.T, b *inside, want ...string) {
	t.Helper()
	if got := b.endings(); !slices.Equal(got, want) {
		t.Errorf("told was %v, want %v", got, want)
	}
}

func write(t *testing.T, conn io.Writer, pieces ...[]byte) {
	t.Helper()
	for _, piece := range pieces {
		if _, err := conn.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
}

// frames returns the bytes that a client writes with a Framer.
func frames(t *testing.T, writes ...func(f *xhttp2.Framer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	f := xhttp2.NewFramer(&b, nil)
	f.AllowIllegalWrites = true
	for _, do := range writes {
		if err := do(f); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func hello(t *testing.T, ack bool) []byte {
	t.Helper()
	settings := frames(t, func(f *xhttp2.Framer) error { return f.WriteSettings() })
	if ack {
		settings = append(settings, frames(t, (*xhttp2.Framer).WriteSettingsAck)...)
	}
	return append([]byte(http2.Preface), settings...)
}

// unfinished writes a head that does not end.
func unfinished(f *xhttp2.Framer) error {
	return f.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
}

// raw is a client's side of a connection in a test.
type raw struct {
	t *testing.T
	net.Conn
}

// TestOneDeadlineFromAcceptToTheFirstRequest checks that a client must send a request within ten seconds, whatever it
// begins with and however slowly.
func TestOneDeadlineFromAcceptToTheFirstRequest(t *testing.T) {
	certificate, _ := selfSigned(t)
	secured := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	const first, idle = 10 * time.Second, 75 * time.Second
	for name, test := range map[string]struct {
		tls       *tls.Config
		announced *listen.Announced
		act       func(c raw)
		want      time.Duration // from accept
		told      []string
	}{
		"nothing": {want: first, told: []string{"first_request"}},
		"half a request line": {act: func(c raw) {
			write(c.t, c.Conn, []byte("GET /"))
		}, want: first, told: []string{"first_request"}},
		"half a head, late": {act: func(c raw) {
			pause(first - time.Second)
			write(c.t, c.Conn, []byte("GET / HTTP/1.1\r\nHost: a\r\n"))
		}, want: first, told: []string{"first_request"}},
		"a line each second": {act: func(c raw) {
			write(c.t, c.Conn, []byte("GET / HTTP/1.1\r\n"))
			for range 9 {
				pause(time.Second)
				write(c.t, c.Conn, []byte("a: b\r\n"))
			}
		}, want: first, told: []string{"first_request"}},
		"half a preface": {act: func(c raw) {
			write(c.t, c.Conn, []byte(http2.Preface[:20]))
		}, want: first, told: []string{"first_request"}},
		"a preface without SETTINGS": {act: func(c raw) {
			write(c.t, c.Conn, []byte(http2.Preface))
		}, want: 2 * time.Second}, // net/http's own timeout
		"SETTINGS without a request": {act: func(c raw) {
			write(c.t, c.Conn, hello(c.t, false))
		}, want: first, told: []string{"first_request"}},
		"half a frame": {act: func(c raw) {
			write(c.t, c.Conn, hello(c.t, false), []byte{0, 0})
		}, want: first, told: []string{"first_request"}},
		"pings without a request": {act: func(c raw) {
			write(c.t, c.Conn, hello(c.t, false))
			for range 9 {
				pause(time.Second)
				write(c.t, c.Conn, frames(c.t, func(f *xhttp2.Framer) error { return f.WritePing(false, [8]byte{}) }))
			}
		}, want: first, told: []string{"first_request"}},
		"a header block that does not end": {act: func(c raw) {
			write(c.t, c.Conn, hello(c.t, false))
			pause(5 * time.Second)
			write(c.t, c.Conn, frames(c.t, unfinished))
		}, want: first, told: []string{"first_request"}},
		"a continuation each second": {act: func(c raw) {
			write(c.t, c.Conn, hello(c.t, true), frames(c.t, unfinished))
			for range 9 {
				pause(time.Second)
				write(c.t, c.Conn, frames(c.t, func(f *xhttp2.Framer) error { return f.WriteContinuation(1, false, []byte{0x84}) }))
			}
		}, want: first, told: []string{"head_time"}},
		// gRPC clients connect before they need the connection, and must not have to reconnect every ten seconds.
		"a client that is ready and waits": {act: func(c raw) {
			write(c.t, c.Conn, hello(c.t, true))
			for range 3 {
				pause(20 * time.Second)
				write(c.t, c.Conn, frames(c.t, func(f *xhttp2.Framer) error { return f.WritePing(false, [8]byte{}) }))
			}
		}, want: idle},

		"no PROXY header": {announced: &listen.Announced{}, want: first, told: []string{"first_request"}},
		"half a PROXY header": {announced: &listen.Announced{}, act: func(c raw) {
			pause(5 * time.Second)
			write(c.t, c.Conn, []byte("PROXY TCP4 192.0.2.1 "))
		}, want: first, told: []string{"first_request"}},
		"a late PROXY header and no request": {announced: &listen.Announced{}, act: func(c raw) {
			pause(5 * time.Second)
			write(c.t, c.Conn, []byte("PROXY TCP4 192.0.2.1 192.0.2.2 4000 80\r\n"))
		}, want: first, told: []string{"first_request"}},
		"a late PROXY header and a late handshake": {announced: &listen.Announced{}, tls: secured, act: func(c raw) {
			pause(4 * time.Second)
			write(c.t, c.Conn, []byte("PROXY TCP4 192.0.2.1 192.0.2.2 4000 443\r\n"))
			pause(4 * time.Second)
			secure(c.t, c.Conn, certificate, "h2")
		}, want: first, told: []string{"first_request"}},

		"no handshake": {tls: secured, want: first, told: []string{"first_request"}},
		"half a handshake": {tls: secured, act: func(c raw) {
			write(c.t, c.Conn, []byte{22, 3, 1})
			pause(5 * time.Second)
			write(c.t, c.Conn, []byte{2, 0, 1, 0})
		}, want: first, told: []string{"first_request"}},
		"a late handshake and no request": {tls: secured, act: func(c raw) {
			pause(6 * time.Second)
			secure(c.t, c.Conn, certificate, "http/1.1")
		}, want: first, told: []string{"first_request"}},
		"a late handshake and no preface": {tls: secured, act: func(c raw) {
			pause(6 * time.Second)
			secure(c.t, c.Conn, certificate, "h2")
		}, want: first, told: []string{"first_request"}},
		"a late handshake and half a header block": {tls: secured, act: func(c raw) {
			pause(6 * time.Second)
			on := secure(c.t, c.Conn, certificate, "h2")
			go func() { _, _ = io.Copy(io.Discard, on) }()
			write(c.t, on, hello(c.t, false))
			pause(2 * time.Second)
			write(c.t, on, frames(c.t, unfinished))
		}, want: first, told: []string{"first_request"}},
		"HTTP/1.1 where HTTP/2 was agreed on": {tls: secured, act: func(c raw) {
			on := secure(c.t, c.Conn, certificate, "h2")
			write(c.t, on, []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
		}, want: 0, told: []string{"h2_preface"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := listen.Options{Handler: http.HandlerFunc(echo), H2C: true, TLS: test.tls, Announced: test.announced}
			synctest.Test(t, func(t *testing.T) {
				b := begin(t, o)
				conn := b.dial()
				start, ended := time.Now(), make(chan time.Duration, 1)
				read := make(chan struct{})
				go func() {
					if test.tls == nil {
						lasts(t, conn)
					} else {
						<-read // the handshake reads the rest
						lasts(t, conn)
					}
					ended <- time.Since(start)
				}()
				if test.act != nil {
					test.act(raw{t, conn})
				}
				close(read)
				wantLasted(t, <-ended, test.want)
				wantTold(t, b, test.told...)
			})
		})
	}
}

// A later head has its own time limit. What else arrives meanwhile does not extend it.
func TestEveryHeadOfHTTP2HasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, listen.Options{Handler: http.HandlerFunc(echo), H2C: true, Limits: config.Limits{KeepAlive: time.Hour}})
		c := newH2(b.dial())
		c.hello(t)
		for i := range 20 {
			pause(7 * time.Second)
			if err := c.request(odd(i), http.MethodGet, true); err != nil {
				t.Fatal(err)
			}
			<-c.answer
		}
		block := c.fields(http.MethodGet)
		if err := c.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 99, EndStream: true, BlockFragment: block[:1]}); err != nil {
			t.Fatal(err)
		}
		pause(9 * time.Second)
		if err := c.WriteContinuation(99, true, block[1:]); err != nil {
			t.Fatal(err)
		}
		<-c.answer
		pause(20 * time.Second)
		if err := c.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 101, EndStream: true, BlockFragment: block[:1]}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		<-c.ended
		wantLasted(t, time.Since(start), 10*time.Second)
		wantTold(t, b, "head_time")
	})
}

func TestIdleHTTP2IsClosedWhateverElseItSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, listen.Options{Handler: http.HandlerFunc(echo), H2C: true})
		c := newH2(b.dial())
		c.hello(t)
		if err := c.request(1, http.MethodGet, true); err != nil {
			t.Fatal(err)
		}
		<-c.answer
		start := time.Now()
		for c.WritePing(false, [8]byte{}) == nil && time.Since(start) < time.Hour {
			pause(10 * time.Second)
		}
		wantLasted(t, time.Since(start), 80*time.Second) // the next ping notices it
		if got := c.goaways(); !slices.Equal(got, []xhttp2.ErrCode{xhttp2.ErrCodeNo}) {
			t.Errorf("the client was told %v, want NO_ERROR", got)
		}
		wantTold(t, b)
	})
}

// took answers a request with how its content ended, and sends that to ends.
func took(ends chan<- error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		ends <- err
		if err != nil {
			w.WriteHeader(http.StatusRequestTimeout)
		}
	})
}

func TestSlowContentOverHTTP2IsCut(t *testing.T) {
	for name, test := range map[string]struct {
		streams int
		trickle int // bytes per second
		want    time.Duration
	}{
		"nothing comes":             {1, 0, 5 * time.Second},
		"a byte a second":           {1, 1, 5 * time.Second},
		"on many streams":           {50, 0, 5 * time.Second},
		"half of what is asked for": {1, 120, 9500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ends := make(chan error, 100)
				b := begin(t, listen.Options{Handler: took(ends), H2C: true})
				c := newH2(b.dial())
				c.hello(t)
				for i := range test.streams {
					if err := c.request(odd(i), http.MethodPost, false); err != nil {
						t.Fatal(err)
					}
				}
				start := time.Now()
				done := make(chan struct{})
				go func() {
					defer close(done)
					for test.trickle > 0 && c.WriteData(1, false, make([]byte, test.trickle)) == nil && time.Since(start) < 12*time.Second {
						pause(time.Second)
					}
				}()
				for range test.streams {
					if err := <-ends; err == nil || !strings.Contains(err.Error(), "too slow") {
						t.Errorf("the content ended with %v", err)
					}
				}
				wantLasted(t, time.Since(start), test.want)
				for range test.streams {
					<-c.answer // the problem response; the connection goes on
				}
				<-done
				if err := c.request(999, http.MethodGet, true); err != nil {
					t.Fatal(err)
				}
				if err := <-ends; err != nil {
					t.Errorf("the next request: %v", err)
				}
				wantTold(t, b, "body_rate")
			})
		})
	}
}

// TestContentThatIsNotSlowOverHTTP2Passes plays clients that a limit on slow clients must let pass.
func TestContentThatIsNotSlowOverHTTP2Passes(t *testing.T) {
	ping := func(c *h2) error { return c.WritePing(false, [8]byte{}) }
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		kind    string
		send    func(c *h2) error
	}{
		"a stream of gRPC that is silent": {kind: "application/grpc+proto", send: func(c *h2) error {
			for range 360 {
				pause(10 * time.Second)
				if err := ping(c); err != nil {
					return err
				}
			}
			return nil
		}},
		"as slow as it may be": {send: func(c *h2) error {
			for range 1000 {
				pause(time.Second)
				if err := c.WriteData(1, false, make([]byte, 240)); err != nil {
					return err
				}
			}
			return nil
		}},
		"one frame that comes slowly": {send: func(c *h2) error {
			frame := append([]byte{0, 0x40, 0, 0, 0, 0, 0, 0, 1}, make([]byte, 16<<10)...)
			for i := range frame {
				if _, err := c.conn.Write(frame[i : i+1]); err != nil {
					return err
				}
				pause(2 * time.Millisecond)
			}
			return nil
		}},
		"a pause after much": {send: func(c *h2) error {
			err := c.WriteData(1, false, make([]byte, 15_000))
			for range 6 {
				pause(10 * time.Second)
				err = errors.Join(err, ping(c))
			}
			return err
		}},
		"a server that takes its time": {handler: func(_ http.ResponseWriter, r *http.Request) {
			for {
				pause(time.Minute)
				if _, err := r.Body.Read(make([]byte, 1000)); err != nil {
					return
				}
			}
		}, send: func(c *h2) error { return c.WriteData(1, false, make([]byte, 15_000)) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ends := make(chan error, 1)
				handler := took(ends)
				if test.handler != nil {
					handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						test.handler(w, r)
						_, err := io.Copy(io.Discard, r.Body)
						ends <- err
					})
				}
				b := begin(t, listen.Options{Handler: handler, H2C: true})
				c := newH2(b.dial())
				c.hello(t)
				if err := c.request(1, http.MethodPost, false, "content-type", test.kind); err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(test.send(c), c.WriteData(1, true, nil)); err != nil {
					t.Fatal(err)
				}
				for waiting := true; waiting; {
					select {
					case err := <-ends:
						if err != nil {
							t.Errorf("the content ended with %v", err)
						}
						waiting = false
					case <-time.After(10 * time.Second):
						if err := ping(c); err != nil {
							t.Fatal(err)
						}
					}
				}
				wantTold(t, b)
			})
		})
	}
}

// A client whose connection window is filled by one stream that nobody reads cannot send on other streams.
func TestClientThatMayNotSendIsNotSlow(t *testing.T) {
	const window = 1 << 20 // of the connection
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan error, 1)
		release := make(chan struct{})
		handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Reads") == "" {
				<-release
				return
			}
			_, err := io.Copy(io.Discard, r.Body)
			ends <- err
		})
		b := begin(t, listen.Options{Handler: handler, H2C: true})
		c := newH2(b.dial())
		c.hello(t)
		for i := range 2 { // each takes half of the connection's window
			if err := c.request(odd(i), http.MethodPost, false); err != nil {
				t.Fatal(err)
			}
			for range window / 2 / (16 << 10) {
				if err := c.WriteData(odd(i), false, make([]byte, 16<<10)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := c.request(odd(2), http.MethodPost, false, "reads", "it"); err != nil {
			t.Fatal(err)
		}
		for range 60 {
			pause(10 * time.Second)
			if err := c.WritePing(false, [8]byte{}); err != nil {
				t.Fatal(err)
			}
		}
		close(release)
		pause(time.Second)
		if err := c.WriteData(odd(2), true, []byte("at last")); err != nil {
			t.Fatal(err)
		}
		if err := <-ends; err != nil {
			t.Errorf("the content ended with %v", err)
		}
		wantTold(t, b)
	})
}

// pour writes without end, and sends how that ended to ends.
func pour(ends chan<- error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 4<<10)); err != nil {
				ends <- err
				return
			}
		}
	})
}

// The server gives up a response that its client does not read.
func TestResponsesThatNobodyTakesAreGivenUp(t *testing.T) {
	t.Run("over HTTP/1.1", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ends := make(chan error, 1)
			b := begin(t, listen.Options{Handler: pour(ends), H2C: true})
			conn := b.dial()
			write(t, conn, []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
			start := time.Now()
			if err := <-ends; err == nil {
				t.Error("no error")
			}
			wantLasted(t, time.Since(start), 5*time.Second)
			wantTold(t, b, "body_rate")
		})
	})
	t.Run("taken a byte at a time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ends := make(chan error, 1)
			b := begin(t, listen.Options{Handler: pour(ends)})
			conn := b.dial()
			write(t, conn, []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				for {
					if _, err := conn.Read(make([]byte, 100)); err != nil {
						return
					}
					pause(time.Second)
				}
			}()
			start := time.Now()
			<-ends
			<-gone
			wantLasted(t, time.Since(start), 8*time.Second)
			wantTold(t, b, "body_rate")
		})
	})
	t.Run("as slowly as may be", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ends := make(chan error, 1)
			b := begin(t, listen.Options{Handler: pour(ends)})
			conn := b.dial()
			write(t, conn, []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
			for range 1000 {
				if _, err := io.ReadFull(conn, make([]byte, 240)); err != nil {
					t.Fatal(err)
				}
				pause(time.Second)
			}
			wantTold(t, b)
		})
	})
	t.Run("over HTTP/2, for the connection is not read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ends := make(chan error, 1)
			b := begin(t, listen.Options{Handler: pour(ends), H2C: true})
			conn := b.dial()
			answers := make(chan struct{})
			go func() {
				_, _ = io.ReadFull(conn, make([]byte, 100)) // SETTINGS and the frames that follow at once
				close(answers)
			}()
			write(t, conn, hello(t, true), frames(t, func(f *xhttp2.Framer) error {
				return f.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, EndStream: true, EndHeaders: true, BlockFragment: []byte{0x82, 0x86, 0x84, 0x41, 1, 'a'}})
			}))
			start := time.Now()
			<-ends
			wantLasted(t, time.Since(start), 5*time.Second)
			wantTold(t, b, "body_rate")
			<-answers
		})
	})
	t.Run("over HTTP/2, for the stream has no window", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ends := make(chan error, 1)
			b := begin(t, listen.Options{Handler: pour(ends), H2C: true})
			c := newH2(b.dial())
			c.hello(t)
			if err := errors.Join(c.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 10}), c.request(1, http.MethodGet, true)); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			<-ends
			wantLasted(t, time.Since(start), 5*time.Second)
			if err := c.WritePing(false, [8]byte{}); err != nil {
				t.Errorf("the connection ended with the stream: %v", err)
			}
			wantTold(t, b, "body_rate")
		})
	})
	t.Run("not that of a conversation", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ends := make(chan error, 1)
			b := begin(t, listen.Options{Handler: pour(ends), H2C: true})
			c := newH2(b.dial())
			c.hello(t)
			if err := c.request(1, http.MethodPost, false, "content-type", "application/grpc"); err != nil {
				t.Fatal(err)
			}
			for range 60 {
				pause(10 * time.Second)
				if err := c.WritePing(false, [8]byte{}); err != nil {
					t.Fatal(err)
				}
			}
			select {
			case err := <-ends:
				t.Errorf("it ended with %v", err)
			default:
			}
			wantTold(t, b)
		})
	})
}

// A response stream may be silent for as long as it likes and then go on.
func TestSilentResponsesAreNoStall(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 5 {
			_, _ = io.WriteString(w, "data: x\n\n")
			_ = http.NewResponseController(w).Flush()
			pause(time.Hour)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, listen.Options{Handler: handler})
		conn := b.dial()
		write(t, conn, []byte("GET / HTTP/1.0\r\n\r\n"))
		answer, err := io.ReadAll(conn)
		if err != nil || strings.Count(string(answer), "data: x") != 5 {
			t.Errorf("came %q, then %v", answer, err)
		}
		wantTold(t, b)
	})
}

func TestRateOfNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := make(chan error, 1)
		b := begin(t, listen.Options{Handler: took(ends), H2C: true, Limits: config.Limits{BodyRate: config.NoRate}})
		conn := b.dial()
		write(t, conn, []byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na"))
		pause(time.Hour)
		write(t, conn, []byte("b"))
		if err := <-ends; err != nil {
			t.Errorf("the content ended with %v", err)
		}
		_, _ = conn.Read(make([]byte, 1000))
		wantTold(t, b)
	})
}

// An upgraded connection is not a response: a WebSocket client may take its time to read.
func TestUpgradedConnectionsMayBeDeaf(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		for range 3 {
			if _, err := conn.Write([]byte("a message")); err != nil {
				t.Error(err)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := begin(t, listen.Options{Handler: handler, H2C: true})
		conn := b.dial()
		write(t, conn, []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
		for range 3 {
			pause(time.Hour)
			if _, err := io.ReadFull(conn, make([]byte, len("a message"))); err != nil {
				t.Error(err)
			}
		}
		wantTold(t, b)
	})
}
