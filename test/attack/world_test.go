package attack_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weir-gateway/weir/internal/auth/jwt/jwttest"
	"github.com/weir-gateway/weir/test/weirtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	weirtest.Cleanup()
	os.Exit(code)
}

// acmeKey is a valid API key.
const acmeKey = "acme-0123456789abcdef"

// patience is the most time that one attack may take; no attack should need it.
const patience = 30 * time.Second

// house is the config under attack: open routes, and routes whose guards protect the inner backend.
const house = `
listen: :8080
auth:
  customer: { jwt: 'https://id.example.com/', audience: shop, jwks: keys.json, forward: { headers: { X-User: =auth.sub } } }
  partner: { keys: { acme: 'sha256:%[1]s' }, forward: { headers: { X-Partner: =auth.sub } } }
routes:
  ANY /public/**: http://%[2]s
  ANY /admin/**: { auth: customer, allow: "=auth.has('orders:write')", to: 'http://%[3]s' }
  ANY /partners/**: { auth: partner, to: 'http://%[3]s' }
  ANY /office/**: { ip: 10.0.0.0/8, to: 'http://%[3]s' }
  ANY staff.shop.dev/**: { auth: customer, to: 'http://%[3]s' }
  ANY any.shop.dev/**: { allow: "=!request.path.startsWith('/admin')", to: 'http://%[2]s' }
  GET /things/**: http://%[2]s
  ANY /things/**: { auth: customer, to: 'http://%[3]s' }
  POST /forms/**: http://%[2]s
  ANY /forms/**: { auth: customer, to: 'http://%[3]s' }
`

// world is a gateway with two backends: open is for everyone, inner is guarded.
type world struct {
	gateway     *weirtest.Gateway
	keys        string // the file of the issuer's keys
	open, inner atomic.Int64
	trap        string // an address that the gateway must never connect to
	trapped     atomic.Int64
	seen        atomic.Pointer[http.Request] // the last request that a backend got
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{}
	room := func(n *atomic.Int64) string {
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { n.Add(1); w.seen.Store(r) }))
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.trapped.Add(1)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	w.trap = l.Addr().String()
	folder := t.TempDir()
	w.keys = filepath.Join(folder, "keys.json")
	sum := sha256.Sum256([]byte(acmeKey))
	config := filepath.Join(folder, "weir.yaml")
	err = errors.Join(os.WriteFile(w.keys, jwttest.All(), 0o600),
		os.WriteFile(config, fmt.Appendf(nil, house, hex.EncodeToString(sum[:]), room(&w.open), room(&w.inner)), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	w.gateway = weirtest.Start(t, config)
	return w
}

// calls returns how often any backend was called.
func (w *world) calls() int64 { return w.open.Load() + w.inner.Load() }

// request returns an HTTP/1.1 request with further header lines.
func request(line string, fields ...string) []byte {
	return []byte(line + " HTTP/1.1\r\nHost: shop.dev\r\n" + strings.Join(append(fields, "Connection: close"), "\r\n") + "\r\n\r\n")
}

// get is a GET request with a credential.
func get(path, field string) []byte { return request("GET "+path, field) }

// refused stands for the status of a request whose connection ends without an answer.
const refused = 0

// send sends raw bytes on a connection of their own, and returns the status of the first final answer.
func (w *world) send(t *testing.T, raw []byte) int {
	t.Helper()
	if bytes.HasPrefix(raw, []byte(http2.ClientPreface)) {
		return w.sendFrames(t, raw)
	}
	conn := w.dial(t)
	defer conn.Close()
	_, _ = conn.Write(raw) // a write that is cut off was refused
	reader := bufio.NewReader(conn)
	for {
		res, err := http.ReadResponse(reader, nil)
		if err != nil {
			held(t, err)
			return refused
		}
		_, _ = io.Copy(io.Discard, res.Body)
		if res.StatusCode >= http.StatusOK {
			return res.StatusCode
		}
	}
}

func (w *world) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", w.gateway.Address)
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(patience))
	}
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// held fails the test if an attack keeps the connection open without an answer or an end.
func held(t *testing.T, err error) {
	t.Helper()
	if network, ok := errors.AsType[net.Error](err); ok && network.Timeout() {
		t.Errorf("no answer within %s", patience)
	}
}

// frames returns an HTTP/2 request by prior knowledge, with the header fields exactly as given: name, value, name,
// value.
func frames(fields ...string) []byte {
	var out, block bytes.Buffer
	out.WriteString(http2.ClientPreface)
	f, enc := http2.NewFramer(&out, nil), hpack.NewEncoder(&block)
	for i := 0; i+1 < len(fields); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}) // writes to memory
	}
	_ = f.WriteSettings()
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
	return out.Bytes()
}

// h2 returns an HTTP/2 request with the usual pseudo-header fields.
func h2(method, path string, fields ...string) []byte {
	return frames(append([]string{":method", method, ":scheme", "http", ":authority", "shop.dev", ":path", path}, fields...)...)
}

// sendFrames is send for HTTP/2.
func (w *world) sendFrames(t *testing.T, raw []byte) int {
	t.Helper()
	conn := w.dial(t)
	defer conn.Close()
	_, _ = conn.Write(raw)
	f := http2.NewFramer(conn, conn)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			held(t, err)
			return refused
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return refused
		case *http2.MetaHeadersFrame:
			var status int
			if _, err := fmt.Sscan(frame.PseudoValue("status"), &status); err != nil {
				t.Fatalf("the status is %q", frame.PseudoValue("status"))
			}
			if status >= http.StatusOK {
				return status
			}
		}
	}
}
