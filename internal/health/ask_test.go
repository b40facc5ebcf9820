package health

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/freeport"
	"github.com/weir-gateway/weir/internal/config"
	"github.com/weir-gateway/weir/internal/wire/transport"
)

// once asks once by a transport of its own.
func once(t *testing.T, address, protocol string, c *Check) error {
	t.Helper()
	by, err := transport.New(transport.Options{Protocol: protocol})
	if err != nil {
		t.Fatal(err)
	}
	defer by.CloseIdle()
	ctx, cancel := context.WithTimeout(context.Background(), await.Patience)
	defer cancel()
	return ask(ctx, Target{Address: address}, c, by)
}

func check(change func(*Check)) *Check {
	c := &Check{Health: config.DefaultHealth()}
	c.Path = "/healthz?deep=1"
	change(c)
	return c
}

// serve answers until the test ends, over HTTP/1.1 and HTTP/2 in the clear.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestHTTP(t *testing.T) {
	status := http.StatusOK
	asked := make(chan *http.Request, 1)
	at := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r
		w.WriteHeader(status)
		_, _ = io.WriteString(w, strings.Repeat("x", 10_000))
	})
	_, port, err := net.SplitHostPort(at)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := "127.0.0.1:1"
	for name, c := range map[string]struct {
		check    *Check
		at       string
		protocol string
		status   int
		want     string
	}{
		"it serves":          {check(func(*Check) {}), at, transport.HTTP, 200, ""},
		"a redirect":         {check(func(*Check) {}), at, transport.HTTP, 302, ""},
		"over HTTP/2":        {check(func(*Check) {}), at, transport.H2C, 204, ""},
		"it does not":        {check(func(*Check) {}), at, transport.HTTP, 503, "status 503"},
		"not what is wanted": {check(func(c *Check) { c.Statuses = []config.StatusRange{{From: 200, To: 200}, {From: 204, To: 206}} }), at, transport.HTTP, 203, "status 203"},
		"what is wanted":     {check(func(c *Check) { c.Statuses = []config.StatusRange{{From: 200, To: 200}, {From: 204, To: 206}} }), at, transport.HTTP, 205, ""},
		"another port":       {check(func(c *Check) { _, _ = fmt.Sscan(port, &c.Port) }), elsewhere, transport.HTTP, 200, ""},
		"another host": {check(func(c *Check) {
			c.Host, c.Fields = "users.internal", []exchange.Field{{Name: "X-Probe", Value: "1"}}
		}), at, transport.HTTP, 200, ""},
	} {
		status = c.status
		err := once(t, c.at, c.protocol, c.check)
		if got := text(err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		r := <-asked
		host := at
		if c.check.Host != "" {
			host = c.check.Host
		}
		if r.Method != http.MethodGet || r.RequestURI != "/healthz?deep=1" || r.Host != host || r.UserAgent() != "weir-health" ||
			len(c.check.Fields) > 0 && r.Header.Get("X-Probe") != "1" || c.protocol == transport.HTTP && !r.Close {
			t.Errorf("%s: asked was %s %s of %s, %v", name, r.Method, r.RequestURI, r.Host, r.Header)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return why(err, time.Second)
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := check(func(c *Check) { c.Check = config.CheckTCP })
	if err := once(t, l.Addr().String(), transport.HTTP, c); err != nil {
		t.Error(err)
	}
	_ = l.Close()
	if err := once(t, freeport.Address(t), transport.HTTP, c); err == nil || !strings.Contains(text(err), "connect") {
		t.Errorf("got %v", err)
	}
}

func TestGRPC(t *testing.T) {
	message := func(b ...byte) string {
		return string(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(b)))) + string(b)
	}
	var body, status, inHead string
	asked := make(chan string, 1)
	at := serve(t, func(w http.ResponseWriter, r *http.Request) {
		question, _ := io.ReadAll(r.Body)
		asked <- fmt.Sprintf("%s %s %s %s %q", r.Method, r.URL.Path, r.Header.Get("Content-Type"), r.Header.Get("Te"), question)
		w.Header().Set("Content-Type", "application/grpc")
		if inHead != "" {
			w.Header().Set("Grpc-Status", inHead)
			return
		}
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = io.WriteString(w, body)
		w.Header().Set("Grpc-Status", status)
	})
	for name, c := range map[string]struct{ body, status, inHead, want string }{
		"it serves":           {body: message(8, 1), status: "0"},
		"it does not":         {body: message(8, 2), status: "0", want: "NOT_SERVING"},
		"nobody knows":        {body: message(), status: "0", want: "UNKNOWN"},
		"no such service":     {inHead: "5", want: "gRPC status 5"},
		"it knows no health":  {inHead: "12"},
		"what came later":     {body: message(8, 99), status: "0", want: "serving status 99"},
		"further fields":      {body: message(18, 1, 'x', 8, 1), status: "0"},
		"it failed after all": {body: message(8, 1), status: "14", want: "gRPC status 14"},
		"no gRPC":             {body: "hello", status: "0", want: errAnswer.Error()},
		"no status":           {body: message(8, 1), status: "x", want: "gRPC status -1"},
		"half a message":      {body: message(8), status: "0", want: errAnswer.Error()},
		"two messages":        {body: message(8, 1) + message(8, 1), status: "0", want: errAnswer.Error()},
	} {
		body, status, inHead = c.body, c.status, c.inHead
		err := once(t, at, transport.GRPC, check(func(k *Check) { k.Check, k.Service = config.CheckGRPC, "shop.Users" }))
		if got := text(err); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if got, want := <-asked, `POST /grpc.health.v1.Health/Check application/grpc trailers "\x00\x00\x00\x00\f\n\nshop.Users"`; got != want {
			t.Errorf("%s: asked was %s, want %s", name, got, want)
		}
	}
}

func TestAnotherPortIsThatOfBothAddresses(t *testing.T) {
	for address, want := range map[string]string{"10.0.0.1:80": "10.0.0.1:9000", "[2001:db8::1]:80": "[2001:db8::1]:9000", "users:80": "users:9000", "unix:/run/a:b": "unix:/run/a:b", "": ""} {
		if got := atPort(address, 9000); got != want {
			t.Errorf("%q became %q, want %q", address, got, want)
		}
	}
	target := Target{Address: "[2001:db8::1]:80", Fallback: "10.0.0.1:80", Name: "users.internal"}
	if got, want := target.host(9000), transport.Host("[2001:db8::1]:9000", "10.0.0.1:9000", "users.internal", ""); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := target.host(0), transport.Host(target.Address, target.Fallback, target.Name, target.ID); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x02\x08\x01"))
	f.Add([]byte("\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x00\x00\x00\x00\x05\x12\x01x\x08\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		status, err := parseAnswer(b)
		if err != nil && status != 0 {
			t.Errorf("%x: %d with %v", b, status, err)
		}
		if string(b) == "\x00\x00\x00\x00\x02\x08\x01" && (err != nil || status != serving) {
			t.Errorf("%x: %d, %v", b, status, err)
		}
	})
}
