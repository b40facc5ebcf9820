package limit

import (
	"errors"
	"net/http"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/expr"
	"github.com/weir-gateway/weir/internal/config"
)

// byClient is the key that is read without an expression: it is the most common one, and an IPv6 address identifies a
// client less exactly than an IPv4 address.
const byClient = "client.ip"

// key is what requests are counted by.
type key struct {
	program *expr.Program // nil: all together, or by the client's address
	client  bool
}

func compileKey(e *config.Expr) (key, error) {
	switch {
	case e == nil:
		return key{}, nil
	case e.Source == byClient:
		return key{client: true}, nil
	}
	program, err := expr.Compile(e.Source, expr.String, expr.Request)
	return key{program: program}, err
}

// errNoKey is the reason for refusing a request without a key. If all such requests shared one bucket, some of them
// could lock out the rest.
var errNoKey = errors.New("the key is empty")

// appendTo adds the key of r to a buffer.
func (k key) appendTo(b []byte, r *http.Request, x *exchange.Exchange) ([]byte, error) {
	switch {
	case k.client:
		return appendClient(b, x)
	case k.program == nil:
		return b, nil
	}
	text, err := k.program.String(&expr.Input{Request: r})
	switch {
	case err != nil:
		return b, err
	case text == "":
		return b, errNoKey
	}
	return append(b, text...), nil
}

// appendClient adds the part of the client's address that tells clients apart.
func appendClient(b []byte, x *exchange.Exchange) ([]byte, error) {
	ip := x.Client.Subscriber()
	switch {
	case ip.Is4():
		a := ip.As4()
		return append(b, a[:]...), nil
	case ip.Is6():
		a := ip.As16()
		return append(b, a[:8]...), nil
	default: // a Unix socket
		return b, errNoKey
	}
}
