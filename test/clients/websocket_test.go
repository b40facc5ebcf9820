package clients_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/weir-gateway/weir/internal/base/await"
)

const largest = 8 << 20 // bytes in one message

// chat is a WebSocket server. It echoes messages; the text "bye" makes it close the connection. It reports on ended
// how each connection ended.
type chat struct{ ended chan error }

func (c *chat) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		Subprotocols:    []string{"chat.v2", "chat.v1"},
		CompressionMode: websocket.CompressionContextTakeover,
	})
	if err != nil {
		return // Accept has answered
	}
	defer conn.CloseNow()
	conn.SetReadLimit(largest)
	c.ended <- echo(r.Context(), conn)
}

func echo(ctx context.Context, conn *websocket.Conn) error {
	for {
		kind, message, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if string(message) == "bye" {
			return conn.Close(4001, "the server has had enough")
		}
		if err := conn.Write(ctx, kind, message); err != nil {
			return err
		}
	}
}

func startChat(t *testing.T) (*chat, string) {
	t.Helper()
	c := &chat{ended: make(chan error, 256)}
	gateway := startWeir(t, "GET /chat: { to: http://"+startOrigin(t, c)+" }")
	return c, "ws://" + gateway.Address + "/chat"
}

func dial(t *testing.T, url string, options *websocket.DialOptions) *websocket.Conn {
	t.Helper()
	conn, res, err := websocket.Dial(t.Context(), url, options)
	if err != nil {
		t.Fatalf("dial: %v (%v)", err, res)
	}
	t.Cleanup(func() { _ = conn.CloseNow() }) // it may be closed already
	conn.SetReadLimit(largest)
	return conn
}

func wantEcho(ctx context.Context, conn *websocket.Conn, kind websocket.MessageType, message []byte) error {
	if err := conn.Write(ctx, kind, message); err != nil {
		return err
	}
	gotKind, got, err := conn.Read(ctx)
	if err != nil {
		return err
	}
	if gotKind != kind || !bytes.Equal(got, message) {
		return fmt.Errorf("got %d bytes of %s back, want %d of %s", len(got), gotKind, len(message), kind)
	}
	return nil
}

func TestWebSocketMessagesComeBackAsTheyWere(t *testing.T) {
	_, url := startChat(t)
	for _, mode := range []websocket.CompressionMode{websocket.CompressionDisabled, websocket.CompressionContextTakeover} {
		conn := dial(t, url, &websocket.DialOptions{CompressionMode: mode})
		for _, size := range []int{0, 1, 125, 126, 65535, 65536, largest} {
			text, binary := []byte(strings.Repeat("é", size/2)), bytes.Repeat([]byte{0, 0xff, 0x80}, size/3)
			if err := wantEcho(t.Context(), conn, websocket.MessageText, text); err != nil {
				t.Errorf("text of %d bytes: %v", len(text), err)
			}
			if err := wantEcho(t.Context(), conn, websocket.MessageBinary, binary); err != nil {
				t.Errorf("binary of %d bytes: %v", len(binary), err)
			}
		}
		if err := conn.Ping(conn.CloseRead(t.Context())); err != nil {
			t.Errorf("ping: %v", err)
		}
	}
}

func TestWebSocketSubprotocolIsAgreedWithTheServer(t *testing.T) {
	_, url := startChat(t)
	for _, test := range []struct {
		offered []string
		want    string
	}{
		{[]string{"chat.v1", "chat.v2"}, "chat.v2"},
		{[]string{"chat.v1"}, "chat.v1"},
		{[]string{"mail"}, ""},
		{nil, ""},
	} {
		if got := dial(t, url, &websocket.DialOptions{Subprotocols: test.offered}).Subprotocol(); got != test.want {
			t.Errorf("offered %q, got %q, want %q", test.offered, got, test.want)
		}
	}
}

func TestWebSocketCloseCodesPassBothWays(t *testing.T) {
	server, url := startChat(t)

	conn := dial(t, url, nil)
	if err := conn.Write(t.Context(), websocket.MessageText, []byte("bye")); err != nil {
		t.Fatal(err)
	}
	_, _, err := conn.Read(t.Context())
	var closed websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != 4001 || closed.Reason != "the server has had enough" {
		t.Errorf("the client sees %v, want the server's 4001", err)
	}
	if err := await.From(t, "the server's close handshake", server.ended); err != nil {
		t.Errorf("the server's close handshake: %v", err)
	}

	if err := dial(t, url, nil).Close(websocket.StatusGoingAway, "the client leaves"); err != nil {
		t.Errorf("the client's close handshake: %v", err)
	}
	err = await.From(t, "the client's close at the server", server.ended)
	if !errors.As(err, &closed) || closed.Code != websocket.StatusGoingAway || closed.Reason != "the client leaves" {
		t.Errorf("the server sees %v, want the client's 1001", err)
	}
}

// A gateway that shuts down says so: to the client, and through the client's answer to the server.
func TestWebSocketsAreToldThatTheGatewayGoesAway(t *testing.T) {
	c := &chat{ended: make(chan error, 8)}
	gateway := startWeir(t, "GET /chat: { to: http://"+startOrigin(t, c)+" }")
	url := "ws://" + gateway.Address + "/chat"
	quiet, busy := dial(t, url, nil), dial(t, url, &websocket.DialOptions{CompressionMode: websocket.CompressionContextTakeover})
	if err := wantEcho(t.Context(), quiet, websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat([]byte("a message on its way "), largest/50)
	if err := busy.Write(t.Context(), websocket.MessageText, large); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); gateway.Stop(t) }()
	_, _, err := quiet.Read(t.Context())
	if websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the quiet client sees %v, want 1001", err)
	}
	// The message that is half sent when the gateway ends reaches the client complete, or not at all.
	_, got, err := busy.Read(t.Context())
	if err == nil && !bytes.Equal(got, large) {
		t.Errorf("the busy client got %d bytes, which are not the %d that were sent", len(got), len(large))
	}
	if err == nil {
		_, _, err = busy.Read(t.Context())
	}
	if websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the busy client sees %v, want 1001", err)
	}
	for range 2 {
		if err := await.From(t, "the end at the server", c.ended); websocket.CloseStatus(err) != websocket.StatusGoingAway {
			t.Errorf("the server sees %v, want the client's 1001", err)
		}
	}
	await.From(t, "the gateway's end", stopped)
}

func TestServerSeesWebSocketClientVanish(t *testing.T) {
	server, url := startChat(t)
	if err := dial(t, url, nil).CloseNow(); err != nil {
		t.Fatal(err)
	}
	err := await.From(t, "the end at the server", server.ended)
	if err == nil || websocket.CloseStatus(err) != -1 {
		t.Errorf("the server sees %v, want a connection that ended without a close frame", err)
	}
}

func TestClientSeesWebSocketServerVanish(t *testing.T) {
	url := "ws://" + startWeir(t, "GET /chat: { to: http://"+startOrigin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, err := websocket.Accept(w, r, nil); err == nil {
			_ = conn.CloseNow() // the abrupt end is intended
		}
	}))+" }").Address + "/chat"
	_, _, err := dial(t, url, nil).Read(t.Context())
	if err == nil || websocket.CloseStatus(err) != -1 {
		t.Errorf("the client sees %v, want a connection that ended without a close frame", err)
	}
}

func TestManyWebSocketsAtOnce(t *testing.T) {
	_, url := startChat(t)
	var all sync.WaitGroup
	for i := range 200 {
		conn := dial(t, url, nil)
		all.Go(func() {
			for k := range 20 {
				message := fmt.Appendf(nil, "message %d of connection %d", k, i)
				if err := wantEcho(t.Context(), conn, websocket.MessageText, message); err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
			}
			if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
				t.Errorf("connection %d: close: %v", i, err)
			}
		})
	}
	all.Wait()
}

// If the server refuses the upgrade, the client gets an ordinary response, with its body.
func TestWebSocketRefusalReachesTheClient(t *testing.T) {
	origin := startOrigin(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "members only", http.StatusForbidden)
	}))
	gateway := startWeir(t, "ANY /**: { to: http://"+origin+" }")
	_, res, err := websocket.Dial(t.Context(), "ws://"+gateway.Address+"/", nil)
	if err == nil || res == nil || res.StatusCode != http.StatusForbidden {
		t.Errorf("got %v, %v, want 403", res, err)
	}
}
