package service

import (
	"net/http"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/base/httpx"
)

// Cookie is the cookie by which a client that sticks to its endpoint is recognised.
type Cookie struct {
	Name       string
	Attributes string // what follows the value: "; Path=/; HttpOnly"
}

// sticks returns the place of the endpoint that the client was led to before, or -1 if there is none.
func (c *call) sticks(p picker, cookie *Cookie) int {
	for _, field := range exchange.RequestHead(c.req).Values("Cookie") {
		if name, ok := httpx.CookieLookup(field, cookie.Name); ok {
			return p.set.Find(name)
		}
	}
	return -1
}

// stick tells the client which endpoint has answered, because that is not the endpoint that the client asked for.
func (c *call) stick() {
	if c.exchange == nil {
		return
	}
	cookie := c.service.balance.Load().Cookie
	if cookie == nil {
		return
	}
	value := cookie.Name + "=" + c.leads + cookie.Attributes
	c.exchange.OnHead(func(_ int, head exchange.Head) { head.Add("Set-Cookie", value) })
}

// hide keeps the cookie from an endpoint. The endpoint could take it for a cookie of its own, or store it, and with it
// the name that leads to an endpoint. out belongs to a single attempt.
func (cookie *Cookie) hide(out *http.Request) {
	if forward.HasCookie(exchange.RequestHead(out), cookie.Name) {
		forward.DropCookie(exchange.OwnHead(out), cookie.Name)
	}
}
