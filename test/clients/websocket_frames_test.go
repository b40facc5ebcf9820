package clients_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/weir-gateway/weir/internal/base/await"
)

// witness is a strict WebSocket server that echoes messages and remembers what it has read.
type witness struct {
	address string
	read    chan []byte // after the handshake, of each connection that has ended
}

type witnessKey struct{}

func startWitness(t *testing.T) *witness {
	t.Helper()
	w := &witness{read: make(chan []byte, 1)}
	server := httptest.NewUnstartedServer(w)
	server.Listener = recorders{server.Listener}
	server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, witnessKey{}, c)
	}
	server.Start()
	t.Cleanup(server.Close)
	w.address = server.Listener.Addr().String()
	return w
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	recorder, _ := r.Context().Value(witnessKey{}).(*recorder)
	conn, err := websocket.Accept(rw, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionContextTakeover, CompressionThreshold: 1})
	if err != nil {
		return // Accept has answered
	}
	conn.SetReadLimit(largest)
	_ = strictEcho(r.Context(), conn) // the client sees how it ends
	_ = conn.CloseNow()
	_, behind, _ := bytes.Cut(recorder.all(), []byte("\r\n\r\n"))
	w.read <- behind
}

// strictEcho also rejects text that is not UTF-8 (RFC 6455 section 8.1), which the library leaves to the application.
func strictEcho(ctx context.Context, conn *websocket.Conn) error {
	for {
		kind, message, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if kind == websocket.MessageText && !utf8.Valid(message) {
			return conn.Close(websocket.StatusInvalidFramePayloadData, "text is UTF-8")
		}
		if err := conn.Write(ctx, kind, message); err != nil {
			return err
		}
	}
}

// recorders is a listener whose connections remember what was read from them.
type recorders struct{ net.Listener }

func (l recorders) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &recorder{Conn: c}, nil
}

type recorder struct {
	net.Conn

	mu   sync.Mutex
	read []byte
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read = append(r.read, p[:n]...)
	return n, err
}

func (r *recorder) all() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read
}

// conversation is the result of a case.
type conversation struct {
	agreed string // header fields of the handshake's response
	came   []byte // what the client received until the end of the connection
	read   []byte // what the server read
}

// play does what c says on a connection of its own to address, behind which w runs.
func play(t *testing.T, address string, w *witness, c wsCase) (seen conversation) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(await.Patience)); err != nil {
		t.Fatal(err)
	}
	extensions := ""
	if c.offer != "" {
		extensions = "Sec-WebSocket-Extensions: " + c.offer + "\r\n"
	}
	_, err = io.WriteString(conn, "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+extensions+"\r\n")
	if err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", res, err)
	}
	defer res.Body.Close()
	for _, name := range []string{"Sec-Websocket-Accept", "Sec-Websocket-Extensions", "Sec-Websocket-Protocol", "Upgrade"} {
		seen.agreed += fmt.Sprintln(name, res.Header[name])
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		for _, piece := range pieces(c.sent, c.chop) {
			if _, err := conn.Write(piece); err != nil {
				return // the server has ended the connection
			}
		}
	})
	seen.came, err = io.ReadAll(r)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("the connection did not end; came %d bytes", len(seen.came))
	}
	_ = conn.Close() // both sides have ended the connection
	sending.Wait()
	seen.read = await.From(t, "the end at the server", w.read)
	return seen
}

func pieces(b []byte, size int) (all [][]byte) {
	for size > 0 && len(b) > size {
		all = append(all, b[:size])
		b = b[size:]
	}
	return append(all, b)
}

// TestWebSocketsBehaveAsWithoutAGateway plays each case directly and through the gateway: the client receives the
// same bytes, and the server the same frames.
func TestWebSocketsBehaveAsWithoutAGateway(t *testing.T) {
	w := startWitness(t)
	gateway := startWeir(t, "GET /chat: { to: http://"+w.address+" }")
	for _, c := range wsCases(t) {
		t.Run(c.name, func(t *testing.T) {
			direct, through := play(t, w.address, w, c), play(t, gateway.Address, w, c)
			if direct.agreed != through.agreed {
				t.Errorf("agreed on through the gateway:\n%s, directly:\n%s", through.agreed, direct.agreed)
			}
			if c.offer != "" && !strings.Contains(direct.agreed, "permessage-deflate") {
				t.Error("the server does not compress")
			}
			if !bytes.Equal(direct.came, through.came) {
				t.Errorf("%d bytes came through the gateway, %d directly: %s and %s", len(through.came), len(direct.came), brief(through.came), brief(direct.came))
			}
			for way, seen := range map[string]conversation{"through the gateway": through, "directly": direct} {
				if !bytes.HasPrefix(c.sent, seen.read) || c.whole && len(seen.read) < len(c.sent) {
					t.Errorf("%s the server has read %d bytes of %d: %s", way, len(seen.read), len(c.sent), brief(seen.read))
				}
			}
			if last := lastFrame(direct.came); c.code != "" && !strings.HasPrefix(string(last), string([]byte{fin | closing, byte(len(last) - 2)})+c.code) {
				t.Errorf("directly came %x in the end, want a close frame with %x", last, c.code)
			}
		})
	}
}

// lastFrame returns the last frame that a server has sent, or nil if there is no complete one.
func lastFrame(b []byte) []byte {
	for len(b) >= 2 {
		head, size := 2, int(b[1])
		switch {
		case size == 126 && len(b) >= 4:
			head, size = 4, int(binary.BigEndian.Uint16(b[2:]))
		case size == 127 && len(b) >= 10:
			head, size = 10, int(binary.BigEndian.Uint64(b[2:]))
		}
		if len(b) <= head+size {
			return b
		}
		b = b[head+size:]
	}
	return nil
}

func brief(b []byte) string {
	if len(b) > 60 {
		return fmt.Sprintf("%x...", b[len(b)-60:])
	}
	return fmt.Sprintf("%x", b)
}
