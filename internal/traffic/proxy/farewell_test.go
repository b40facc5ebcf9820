package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// ending is a server that ends when its context does.
type ending struct{ ctx context.Context } //nolint:containedctx // it is what the interface gives

func (e ending) Leaving() bool           { return e.ctx.Err() != nil }
func (e ending) Ending() context.Context { return e.ctx }

// notebook is the client's side and keeps what it receives.
type notebook struct {
	bytes.Buffer
	fails error
}

func (n *notebook) Write(p []byte) (int, error) {
	if n.fails != nil {
		return 0, n.fails
	}
	return n.Buffer.Write(p)
}

func (n *notebook) Close() error      { return nil }
func (n *notebook) CloseWrite() error { return nil }

func TestFarewellIsSaidBetweenMessages(t *testing.T) {
	hello, half, rest := string(frame(0x81, []byte("hello"))), string(frame(0x01, []byte("hel"))), string(frame(0x80, []byte("lo")))
	for name, test := range map[string]struct {
		before, after []string // what the backend sends before and after the server begins to end
		want          string
	}{
		"at rest":              {[]string{hello}, nil, hello + goingAway},
		"before any":           {nil, []string{hello}, goingAway},
		"then nothing more":    {[]string{hello}, []string{hello, hello}, hello + goingAway},
		"in a frame":           {[]string{hello[:3]}, []string{hello[3:] + hello}, hello + goingAway},
		"in a head":            {[]string{hello[:1]}, []string{hello[1:]}, hello + goingAway},
		"in a message":         {[]string{half}, []string{rest, hello}, half + rest + goingAway},
		"in one piece":         {[]string{half[:1]}, []string{half[1:] + rest + hello + hello}, half + rest + goingAway},
		"after its own":        {[]string{string(frame(0x88, []byte{3, 232}))}, nil, string(frame(0x88, []byte{3, 232}))},
		"no frames":            {[]string{"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"}, []string{"more"}, "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xffmore"},
		"a message that stays": {[]string{half}, nil, half},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, end := context.WithCancel(t.Context())
				defer end()
				client := &notebook{}
				side, stop := saysFarewell(client, "WebSocket", ending{ctx}, func() {})
				defer stop()
				say := func(pieces []string) {
					for _, p := range pieces {
						if n, err := side.Write([]byte(p)); n != len(p) || err != nil {
							t.Errorf("%d, %v", n, err)
						}
					}
				}
				say(test.before)
				end()
				synctest.Wait()
				say(test.after)
				if got := client.String(); got != test.want {
					t.Errorf("the client got %q, want %q", got, test.want)
				}
			})
		})
	}
}

func TestFarewellOfOtherProtocolsIsNone(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	client := &notebook{}
	side, stop := saysFarewell(client, "chat/1", ending{ctx}, func() {})
	end()
	stop()
	if side != duplex(client) || client.Len() > 0 {
		t.Errorf("the client got %q", client.String())
	}
}

// The tunnel ends once the client has answered the farewell, or its time is up.
func TestTheTunnelEndsAfterTheFarewell(t *testing.T) {
	for name, answers := range map[string]bool{"the client answers": true, "the client does not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, end := context.WithCancel(t.Context())
				defer end()
				client, near := net.Pipe()
				backend, far := net.Pipe()
				over := make(chan struct{})
				go func() {
					defer close(over)
					join(t.Context(), pipeEnd{near}, pipeEnd{backend}, "websocket", ending{ctx})
				}()
				go end()
				frame := make([]byte, len(goingAway))
				if _, err := io.ReadFull(client, frame); err != nil || string(frame) != goingAway {
					t.Fatalf("the client got %q, %v", frame, err)
				}
				began := time.Now()
				if answers {
					go func() { _, _ = client.Write([]byte("\x88\x80....")) }()
					got := make([]byte, 6)
					if _, err := io.ReadFull(far, got); err != nil || string(got) != "\x88\x80...." {
						t.Errorf("the backend got %q, %v", got, err)
					}
					_, _ = far.Write([]byte("\x88\x00")) // the other side does not receive this any more
					_ = far.Close()
				}
				<-over
				if took := time.Since(began); answers != (took < farewellWait) || took > farewellWait {
					t.Errorf("it took %s", took)
				}
				if rest, err := io.ReadAll(client); len(rest) > 0 || err != nil {
					t.Errorf("the client got %q, %v after the close frame", rest, err)
				}
				_ = far.Close()
			})
		})
	}
}

// pipeEnd is a connection without half-close.
type pipeEnd struct{ net.Conn }

func (p pipeEnd) CloseWrite() error { return p.Close() }

func TestFarewellTellsThatTheClientHasGone(t *testing.T) {
	client := &notebook{fails: errors.New("gone")}
	side, stop := saysFarewell(client, "websocket", ending{t.Context()}, func() {})
	defer stop()
	if _, err := side.Write([]byte{0x81, 0}); err == nil {
		t.Error("no error")
	}
}
