package http1_test

import (
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/field"
	"github.com/weir-gateway/weir/internal/base/poison"
)

// A response that was released is nobody's: its head is gone, its body stays at its end, and neither a Read nor a Close of it
// touches the request that has its connection now.
func TestAReleasedResponseDoesNoHarm(t *testing.T) {
	c := ownClient(func() (net.Conn, error) { return newParrot(t, usualAnswer), nil })
	defer c.CloseIdle()
	ask := func() *http.Response {
		res, err := c.RoundTrip(proxied(t, "a", true))
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	first := ask()
	if exchange.Release(first) {
		t.Error("a response was released that was not read")
	}
	body, head := first.Body, exchange.ResponseHead(first)
	lines := exchange.LinesOf(first.Header).List()
	if _, err := io.Copy(io.Discard, body); err != nil {
		t.Fatal(err)
	}
	if !exchange.Release(first) {
		t.Error("nobody else has the request, and that is not told")
	}
	if head.Len() > 0 || poison.On && lines[0] == field.Make("Server", "nginx") {
		t.Errorf("a head that was kept has %q, a line of it is %q", head.Get("Server"), lines[0])
	}
	for range 100 {
		res := ask()
		if n, err := body.Read(make([]byte, 10)); n > 0 || err == nil {
			t.Fatalf("the body before gives %d bytes, %v", n, err)
		}
		_ = body.Close()
		if b, err := io.ReadAll(res.Body); err != nil || len(b) != 1024 || exchange.ResponseHead(res).Get("Server") != "nginx" {
			t.Fatalf("%d bytes, %v, %v", len(b), err, res.Header)
		}
		if released := body.(interface{ Release() bool }).Release(); released {
			t.Fatal("it was released twice")
		}
		exchange.Release(res)
	}
}
