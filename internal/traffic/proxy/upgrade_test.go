package proxy_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
)

const handshake = "GET /chat HTTP/1.1\r\nHost: shop.dev\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\r\n"

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: yes\r\n\r\n"

// shout answers every line in capitals until the client has ended its direction. Then it says goodbye.
func shout(heads chan<- string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, r *bufio.Reader) {
		heads <- readHead(r)
		_, _ = io.WriteString(c, switching+"WELCOME\n")
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				_, _ = io.WriteString(c, "GOODBYE\n")
				return
			}
			_, _ = io.WriteString(c, strings.ToUpper(line))
		}
	}
}

func TestUpgradeCarriesBytesBothWaysAndHalfCloses(t *testing.T) {
	heads := make(chan string, 1)
	g := start(t, setup{addresses: []string{rawBackend(t, shout(heads))}}, nil)
	conn, r := raw(t, g, handshake+"early\n") // bytes right behind the request belong to the tunnel
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", res, err)
	}
	if res.Header.Get("Upgrade") != "websocket" || res.Header.Get("Connection") != "Upgrade" || res.Header.Get("Sec-Websocket-Accept") != "yes" {
		t.Errorf("head %v", res.Header)
	}
	if head := await.From(t, "the request", heads); !strings.Contains(head, "\r\nUpgrade: websocket\r\n") || !strings.Contains(head, "\r\nConnection: Upgrade\r\n") {
		t.Errorf("the backend got %q", head)
	}
	expect := func(want string) {
		t.Helper()
		if line, err := r.ReadString('\n'); line != want {
			t.Errorf("%q (%v), not %q", line, err, want)
		}
	}
	expect("WELCOME\n")
	expect("EARLY\n")
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		t.Fatal(err)
	}
	expect("HELLO\n")
	if g.idleAgain() {
		t.Error("the tunnel does not count as a request in flight")
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	expect("GOODBYE\n") // sent after the client's direction had ended
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("%v, not the end", err)
	}
	if o := await.From(t, "the end", g.outcomes); o.Status != http.StatusSwitchingProtocols {
		t.Errorf("outcome %+v", o)
	}
	await.That(t, "the end of the request in flight", g.idleAgain)
}

// A tunnel that was cut off must not look as if it had ended properly.
func TestATunnelIsLostWithItsBackend(t *testing.T) {
	g := start(t, setup{addresses: []string{rawBackend(t, func(c net.Conn, r *bufio.Reader) {
		readHead(r)
		_, _ = io.WriteString(c, switching+"some of it")
		_, _ = r.ReadByte() // until that byte has reached the client
		_ = c.(*net.TCPConn).SetLinger(0)
	})}}, nil)
	conn, r := raw(t, g, handshake)
	if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", res, err)
	}
	if _, err := io.ReadFull(r, make([]byte, len("some of it"))); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "!"); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%q, %v", text, err)
	}
	await.From(t, "the end", g.outcomes)
}

// Only a 101 to exactly the requested protocol makes a tunnel. After any other answer the client's connection goes on
// with HTTP.
func TestNothingButTheRight101MakesATunnel(t *testing.T) {
	for name, c := range map[string]struct {
		request, answer string
		status          int
	}{
		"200 with Upgrade":       {handshake, "HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi", 200},
		"426":                    {handshake, "HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: foo\r\nContent-Length: 0\r\n\r\n", 426},
		"101 to something else":  {handshake, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 502},
		"101 without a protocol": {handshake, "HTTP/1.1 101 Switching Protocols\r\n\r\n", 502},
		"101 to a plain request": {"GET / HTTP/1.1\r\nHost: shop.dev\r\n\r\n", switching, 502},
	} {
		t.Run(name, func(t *testing.T) {
			address := rawBackend(t, func(conn net.Conn, r *bufio.Reader) {
				readHead(r)
				_, _ = io.WriteString(conn, c.answer)
				_, _ = io.Copy(io.Discard, r)
			})
			g := start(t, setup{addresses: []string{address}}, nil)
			_, r := raw(t, g, c.request)
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			if res.StatusCode != c.status || res.Header.Get("Upgrade") != "" {
				t.Errorf("%d %v", res.StatusCode, res.Header)
			}
			await.From(t, "the end", g.outcomes)
		})
	}
}

func TestUpgradesThatAreNeverRelayed(t *testing.T) {
	for name, request := range map[string]string{
		"h2c":         "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
		"h2c in list": "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
		"not named":   "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
		"with a body": "POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 4\r\n\r\nbody",
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, setup{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for _, name := range []string{"Upgrade", "Connection", "Http2-Settings"} {
					if v := r.Header.Get(name); v != "" {
						t.Errorf("the backend got %s: %s", name, v)
					}
				}
				w.WriteHeader(http.StatusNoContent)
			}))
			_, r := raw(t, g, request)
			if res, err := http.ReadResponse(r, nil); err != nil || res.StatusCode != http.StatusNoContent {
				t.Errorf("%v, %v", res, err)
			}
		})
	}
}
