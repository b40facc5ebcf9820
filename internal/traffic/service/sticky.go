package service

import (
	"net/http"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/forward"
	"github.com/weir-gateway/weir/internal/base/httpx"
)

// Cookie is how a client is known that sticks to its endpoint.
type Cookie struct {
	Name       string
	Attributes string // what follows the value: "; Path=/; HttpOnly"
}

// sticks gives the place of the endpoint that the client was led to before, -1 for none.
func (c *call) sticks(p picker, cookie *Cookie) int {
	for _, field := range exchange.RequestHead(c.req).Values("Cookie") {
		if name, ok := httpx.CookieLookup(field, cookie.Name); ok {
			return p.set.Find(name)
		}
	}
	return -1
}

// stick tells the client which endpoint has answered, which is not the one that it
// came for.
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

// hide keeps the cookie from an endpoint, whose matter it is not: it could take it for one
// of its own, or keep what leads to it. out is of one attempt.
func (cookie *Cookie) hide(out *http.Request) {
	if forward.HasCookie(exchange.RequestHead(out), cookie.Name) {
		forward.DropCookie(exchange.OwnHead(out), cookie.Name)
	}
}
