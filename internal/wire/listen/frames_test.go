package listen_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	xhttp2 "golang.org/x/net/http2"

	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/listen"
)

// patient makes a request for /wait wait until the client has gone. It accepts content.
func patient(_ http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	if r.Method == http.MethodGet {
		<-r.Context().Done()
	}
}

// abuse is something that a client may do again and again. do writes it for the i-th time.
type abuse struct {
	name   string
	reason string
	// frames is how many of these frames the connection survives.
	frames int
	begin  func(c *h2) error
	do     func(c *h2, i int) error
	each   int // how many frames one call of do writes
}

func abuses() []abuse {
	put := func(c *h2) error { return c.request(1, http.MethodPut, false) }
	get := func(c *h2) error { return c.request(1, http.MethodGet, true) }
	return []abuse{
		{name: "rapid reset (CVE-2023-44487)", reason: "h2_resets", frames: 1000, each: 2, do: func(c *h2, i int) error {
			if err := c.request(odd(i), http.MethodGet, true); err != nil {
				return err
			}
			return c.WriteRSTStream(odd(i), xhttp2.ErrCodeCancel)
		}},
		{name: "a reset that the server is made to send (CVE-2025-8671)", reason: "h2_forced_resets", frames: 1000, each: 2, do: func(c *h2, i int) error {
			if err := c.request(odd(i), http.MethodGet, true); err != nil {
				return err
			}
			return c.WriteRawFrame(xhttp2.FrameWindowUpdate, 0, odd(i), make([]byte, 4))
		}},
		{name: "the same by content after the end", reason: "h2_forced_resets", frames: 1000, each: 2, do: func(c *h2, i int) error {
			if err := c.request(odd(i), http.MethodGet, true); err != nil {
				return err
			}
			return c.WriteData(odd(i), false, []byte("a"))
		}},
		{name: "the same by a priority of its own", reason: "h2_forced_resets", frames: 1000, each: 2, do: func(c *h2, i int) error {
			if err := c.request(odd(i), http.MethodGet, true); err != nil {
				return err
			}
			return c.WritePriority(odd(i), xhttp2.PriorityParam{StreamDep: odd(i)})
		}},
		{name: "more streams than there may be", reason: "h2_forced_resets", frames: 1000, each: 1, do: func(c *h2, i int) error {
			return c.request(odd(i), http.MethodGet, true)
		}},
		{name: "requests with too large a head", reason: "h2_requests", frames: 1100, each: 1, do: func(c *h2, i int) error {
			large := slices.Repeat([]string{"cookie", strings.Repeat("a", 1000)}, 70)
			return c.request(odd(i), http.MethodGet, true, large...)
		}},
		{name: "fields that are named again and again (HPACK bomb)", reason: "h2_header_block", frames: 1, each: 1, begin: func(c *h2) error {
			return c.request(1, http.MethodGet, true, "bomb", strings.Repeat("a", 4000))
		}, do: func(c *h2, i int) error {
			return c.request(odd(i+1), http.MethodGet, true, slices.Repeat([]string{"bomb", strings.Repeat("a", 4000)}, 1000)...)
		}},
		{name: "a header block that never ends (CVE-2023-45288)", reason: "h2_continuations", frames: 1001, each: 1, begin: func(c *h2) error {
			return c.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: c.fields(http.MethodGet)})
		}, do: func(c *h2, _ int) error {
			return c.WriteContinuation(1, false, nil)
		}},
		{name: "PING", reason: "h2_pings", frames: 1000, each: 1, do: func(c *h2, _ int) error { return c.WritePing(false, [8]byte{}) }},
		{name: "PING that answers nothing", reason: "h2_pings", frames: 1000, each: 1, do: func(c *h2, _ int) error { return c.WritePing(true, [8]byte{}) }},
		{name: "SETTINGS", reason: "h2_settings", frames: 250, each: 1, do: func(c *h2, _ int) error { return c.WriteSettings() }},
		{name: "SETTINGS that move the windows", reason: "h2_settings", frames: 250, each: 1, begin: get, do: func(c *h2, i int) error {
			return c.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: uint32(i)})
		}},
		{name: "DATA without content", reason: "h2_empty_data", frames: 1000, each: 1, begin: put, do: func(c *h2, _ int) error { return c.WriteData(1, false, nil) }},
		{name: "DATA that is all padding", reason: "h2_empty_data", frames: 1000, each: 1, begin: put, do: func(c *h2, _ int) error { return c.WriteDataPadded(1, false, nil, make([]byte, 9)) }},
		{name: "PRIORITY", reason: "h2_priorities", frames: 1000, each: 1, do: func(c *h2, i int) error {
			return c.WritePriority(odd(i)+2, xhttp2.PriorityParam{StreamDep: odd(i), Weight: uint8(i)})
		}},
		{name: "WINDOW_UPDATE of one byte", reason: "h2_window_updates", frames: 1000, each: 1, do: func(c *h2, _ int) error { return c.WriteWindowUpdate(0, 1) }},
		{name: "WINDOW_UPDATE of one byte on a stream", reason: "h2_window_updates", frames: 1000, each: 1, begin: get, do: func(c *h2, _ int) error { return c.WriteWindowUpdate(1, 1) }},
		{name: "GOAWAY", reason: "h2_other_frames", frames: 1000, each: 1, begin: get, do: func(c *h2, _ int) error { return c.WriteGoAway(0, xhttp2.ErrCodeNo, nil) }},
		{name: "frames of a type that nobody knows", reason: "h2_other_frames", frames: 1000, each: 1, do: func(c *h2, _ int) error { return c.WriteRawFrame(0xbb, 0, 0, nil) }},
	}
}

// TestFramesThatLeadNowhereEndTheConnection checks how many frames of each kind a connection survives, with and
// without TLS, and that the client is told why it ends.
func TestFramesThatLeadNowhereEndTheConnection(t *testing.T) {
	certificate, _ := selfSigned(t)
	for _, a := range abuses() {
		for name, end := range map[string]*tls.Config{"h2c": nil, "TLS": {Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}} {
			t.Run(a.name+" over "+name, func(t *testing.T) {
				// Time is not of interest here: all timeouts are longer than the test runs.
				o := listen.Options{Handler: http.HandlerFunc(patient), H2C: true, TLS: end, Limits: config.Limits{HeadTime: time.Hour, KeepAlive: time.Hour}}
				synctest.Test(t, func(t *testing.T) {
					b := begin(t, o)
					conn := b.dial()
					if end != nil {
						conn = secure(t, conn, certificate, "h2")
					}
					c := newH2(conn)
					c.hello(t)
					frames := flood(t, c, a)
					<-c.ended
					if frames > a.frames {
						t.Errorf("the connection lasted %d frames, want %d at most", frames, a.frames)
					}
					if got := b.endings(); !slices.Equal(got, []string{a.reason}) {
						t.Errorf("it ended for %v, want %s", got, a.reason)
					}
					if got := c.goaways(); !slices.Contains(got, xhttp2.ErrCodeEnhanceYourCalm) {
						t.Errorf("the client was told %v, want ENHANCE_YOUR_CALM", got)
					}
				})
			})
		}
	}
}

// TestWastedRequestsAreLookedAtTwice checks how many requests reach a handler on a connection whose client cancels
// all of them at once, and that requests which the client does want are still served.
func TestWastedRequestsAreLookedAtTwice(t *testing.T) {
	const few = 33
	for name, spoil := range map[string]func(c *h2, stream uint32) error{
		"taken back": func(c *h2, stream uint32) error { return c.WriteRSTStream(stream, xhttp2.ErrCodeCancel) },
		"spoilt": func(c *h2, stream uint32) error {
			return c.WriteRawFrame(xhttp2.FrameWindowUpdate, 0, stream, make([]byte, 4))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var begun, wanted atomic.Int32
				b := begin(t, listen.Options{H2C: true, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPut {
						wanted.Add(1)
						return
					}
					begun.Add(1)
					<-r.Context().Done()
				})})
				c := newH2(b.dial())
				c.hello(t)
				for i := range 200 {
					synctest.Wait() // until the server has reset what it must
					if err := errors.Join(c.request(odd(i), http.MethodGet, true), spoil(c, odd(i))); err != nil {
						t.Fatal(err)
					}
				}
				for i := range 10 {
					if err := c.request(odd(200+i), http.MethodPut, true); err != nil {
						t.Fatal(err)
					}
				}
				for range 10 {
					<-c.answer
				}
				if n := begun.Load(); n > few {
					t.Errorf("%d of 200 requests that were %s came to a handler, want at most %d", n, name, few)
				}
				if n := wanted.Load(); n != 10 {
					t.Errorf("%d of 10 requests that were wanted were served", n)
				}
			})
		})
	}
}

// flood calls a.do until the connection ends, and returns how many frames the connection survived.
func flood(t *testing.T, c *h2, a abuse) (frames int) {
	t.Helper()
	if a.begin != nil {
		if err := a.begin(c); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10_000 {
		synctest.Wait() // until the server has reacted
		if slices.Contains(c.goaways(), xhttp2.ErrCodeEnhanceYourCalm) || a.do(c, i) != nil {
			break
		}
		frames += a.each
	}
	return frames
}

// honest is a client that has a legitimate reason for what it does. do is one round of it.
type honest struct {
	name   string
	rounds int
	begin  func(c *h2) error
	do     func(c *h2, i int) error
}

const (
	large = 32 << 10 // a response of two frames
	huge  = 8 << 20  // fits into the windows of some clients
)

// useful answers as most handlers do.
func useful(w http.ResponseWriter, r *http.Request) {
	switch r.Header.Get("Want") {
	case "large":
		_, _ = w.Write(make([]byte, large))
	case "huge":
		_, _ = w.Write(make([]byte, huge))
	case "a stream":
		for range 10 {
			_, _ = w.Write([]byte("piece"))
			_ = http.NewResponseController(w).Flush()
		}
	case "a broken response":
		_, _ = w.Write([]byte("piece"))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "nothing":
		<-r.Context().Done()
	case "refusal":
	default:
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

func honests() []honest {
	// answered sends a request and waits for the end of the response.
	answered := func(c *h2, stream uint32, more ...string) error {
		if err := c.request(stream, http.MethodGet, true, more...); err != nil {
			return err
		}
		for answer := range c.answer {
			if answer == stream {
				break
			}
		}
		return nil
	}
	cancelled := func(c *h2, stream uint32) error {
		return errors.Join(c.request(stream, http.MethodGet, true, "want", "nothing"), c.WriteRSTStream(stream, xhttp2.ErrCodeCancel))
	}
	return []honest{
		{name: "one in ten is taken back", rounds: 5000, do: func(c *h2, i int) error {
			if i%10 == 0 {
				return cancelled(c, odd(i))
			}
			return answered(c, odd(i))
		}},
		{name: "two in three are taken back, as hedging does", rounds: 5000, do: func(c *h2, i int) error {
			if i%3 > 0 {
				return cancelled(c, odd(i))
			}
			return answered(c, odd(i))
		}},
		{name: "all are taken back, after a while", rounds: 5000, do: func(c *h2, i int) error {
			if err := c.request(odd(i), http.MethodGet, true, "want", "nothing"); err != nil || i < 100 {
				return err
			}
			pause(250 * time.Millisecond / 100)
			return c.WriteRSTStream(odd(i-100), xhttp2.ErrCodeCancel)
		}},
		{name: "a page that is left again and again", rounds: 20, do: func(c *h2, i int) error {
			var err error
			for j := range 100 {
				err = errors.Join(err, answered(c, odd(200*i+j)))
			}
			for j := range 100 {
				err = errors.Join(err, cancelled(c, odd(200*i+100+j)))
			}
			pause(time.Second)
			return err
		}},
		{name: "a ping, a priority and an update of the window for each request", rounds: 3000, do: func(c *h2, i int) error {
			return errors.Join(c.WritePriority(odd(i), xhttp2.PriorityParam{Weight: 5}), answered(c, odd(i)),
				c.WriteWindowUpdate(0, 100), c.WritePing(false, [8]byte{}))
		}},
		{name: "two updates of the window for each frame", rounds: 2000, do: func(c *h2, i int) error {
			err := answered(c, odd(i), "want", "large")
			for range 2 {
				err = errors.Join(err, c.WriteWindowUpdate(0, large/2), c.WriteWindowUpdate(odd(i), large/2))
			}
			return err
		}},
		// As net/http's client does: it updates the windows of the connection and of the stream every 4 KB.
		{name: "downloads that are sent ahead, and whose updates of the windows come after", rounds: 3, begin: func(c *h2) error {
			return errors.Join(c.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: huge}), c.WriteWindowUpdate(0, huge))
		}, do: func(c *h2, i int) error {
			err := answered(c, odd(i), "want", "huge")
			for range huge / 4096 {
				err = errors.Join(err, c.WriteWindowUpdate(0, 4096), c.WriteWindowUpdate(odd(i), 4096))
			}
			return err
		}},
		{name: "two updates of the window and a ping for each message", rounds: 500, do: func(c *h2, i int) error {
			err := answered(c, odd(i), "want", "a stream")
			for range 10 {
				err = errors.Join(err, c.WriteWindowUpdate(0, 5), c.WriteWindowUpdate(odd(i), 5))
			}
			return errors.Join(err, c.WritePing(false, [8]byte{}))
		}},
		{name: "an upload, in frames of any size", rounds: 3000, begin: func(c *h2) error {
			return c.request(1, http.MethodPut, false)
		}, do: func(c *h2, i int) error {
			return c.WriteData(1, false, make([]byte, 1+i%1000))
		}},
		{name: "uploads that are refused while they are under way", rounds: 200, do: func(c *h2, i int) error {
			err := c.request(odd(i), http.MethodPut, false, "want", "refusal")
			for range 20 {
				synctest.Wait()
				err = errors.Join(err, c.WriteData(odd(i), false, make([]byte, 8<<10)))
			}
			return err
		}},
		{name: "a head as large as it may be, each time", rounds: 500, do: func(c *h2, i int) error {
			var fields []string
			for j := range 12 {
				fields = append(fields, fmt.Sprintf("a-%d-%d", i, j), strings.Repeat("ab", 2500))
			}
			block := c.fields(http.MethodGet, fields...)
			const most = 16 << 10
			err := c.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: odd(i), EndStream: true, BlockFragment: block[:most]})
			for block = block[most:]; len(block) > most; block = block[most:] {
				err = errors.Join(err, c.WriteContinuation(odd(i), false, block[:most]))
			}
			err = errors.Join(err, c.WriteContinuation(odd(i), true, block))
			<-c.answer
			return err
		}},
		{name: "a backend whose responses break off", rounds: 3000, do: func(c *h2, i int) error {
			err := c.request(odd(i), http.MethodGet, true, "want", "a broken response")
			synctest.Wait()
			return err
		}},
		{name: "a stream of a day with a ping each ten seconds", rounds: 8640, begin: func(c *h2) error {
			return c.request(1, http.MethodGet, true, "want", "nothing")
		}, do: func(c *h2, _ int) error {
			pause(10 * time.Second)
			return c.WritePing(false, [8]byte{})
		}},
	}
}

// odd returns the ID of a client's i-th stream.
func odd(i int) uint32 { return uint32(2*i + 1) }

// pause lets d pass on the clock of the bubble.
func pause(d time.Duration) { <-time.After(d) }

// TestFramesOfHonestClientsAreNeverTooMany plays clients that use the features which cost an abusive client its
// connection. They pause only where they say so.
func TestFramesOfHonestClientsAreNeverTooMany(t *testing.T) {
	for _, client := range honests() {
		t.Run(client.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := begin(t, listen.Options{Handler: http.HandlerFunc(useful), H2C: true})
				c := newH2(b.dial())
				c.hello(t)
				if client.begin != nil {
					if err := client.begin(c); err != nil {
						t.Fatal(err)
					}
				}
				for i := range client.rounds {
					synctest.Wait()
					if err := client.do(c, i); err != nil || len(c.goaways()) > 0 {
						t.Fatalf("after %d rounds: %v, and the client was told %v; reasons %v", i, err, c.goaways(), b.endings())
					}
				}
			})
		})
	}
}
