package http1

import (
	"context"
	"io"
	"net/http"
	"reflect"
	"slices"
	"testing"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/field"
	"github.com/weir-gateway/weir/internal/base/poison"
)

// othersFields are those fields of a request that only a handler or a client sets. Handlers and clients that are
// given reused requests do not set them (see ServerOptions.Lines).
var othersFields = []string{"GetBody", "Form", "PostForm", "MultipartForm", "Cancel", "Response", "Pattern"}

// A reused request carries over nothing from its previous use: each of its fields is as it is in a new request.
func TestARequestThatIsUsedAgainIsAsANewOne(t *testing.T) {
	for name, head := range map[string]string{
		"of HTTP/1.1":           "GET /next?a=b HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n",
		"without a host":        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"of a length":           "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		"in chunks":             "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"with a trailer":        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n0\r\n\r\n",
		"the connection's last": "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := &Conn{server: NewServer(ServerOptions{Options: Options{Limits: wideLimits}, Lines: true}), peer: "127.0.0.1:1"}
			used, fresh := newTurn(), newTurn()
			used.comes(t, c, "POST /before?c=d HTTP/1.1\r\nHost: b\r\nZ: z\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-Hash\r\n\r\n0\r\n\r\n")
			used.wasAnswered()
			fillFields(t, used.request)
			again := used.ctx
			used.comes(t, c, head)
			if kept := used.ctx == again; kept == poison.On {
				t.Fatalf("the request is used again: %t", kept)
			}
			fresh.comes(t, c, head)
			got, want := fieldsOf(used), fieldsOf(fresh)
			for name := range want {
				if !slices.Contains(othersFields, name) && !reflect.DeepEqual(got[name], want[name]) {
					t.Errorf("%s is %+v, and %+v in a new one", name, got[name], want[name])
				}
			}
		})
	}
}

// comes reads a request.
func (t *turn) comes(tb testing.TB, c *Conn, text string) {
	tb.Helper()
	t.in.giveBack()
	t.in.add([]byte(text)...)
	var s search
	end, reason := t.findHead(&s, wideLimits)
	if end == 0 || reason != OK {
		tb.Fatal(end, reason)
	}
	c.readHead(t, end)
}

// wasAnswered has the request answered, as those handlers of Weir do that keep nothing of it.
func (t *turn) wasAnswered() {
	ctx := new(exchange.RequestContext)
	ctx.Again(context.Background())
	ctx.Heads(t.head, t.heads)
	t.ctx = ctx
	exchange.SetContext(ctx, t.request)
	x := exchange.New(t.request)
	exchange.Begin(t.response, t.request, x)
	x.Alone()
	x.Forgo()
	ctx.Cancel(nil)
}

// fillFields sets each field of a request except othersFields.
func fillFields(t *testing.T, r *http.Request) {
	t.Helper()
	for f, value := range reflect.ValueOf(r).Elem().Fields() {
		if !f.IsExported() || slices.Contains(othersFields, f.Name) {
			continue
		}
		switch value.Kind() {
		case reflect.String:
			value.SetString("left")
		case reflect.Int, reflect.Int64:
			value.SetInt(7)
		case reflect.Bool:
			value.SetBool(true)
		case reflect.Slice:
			value.Set(reflect.ValueOf([]string{"left"}))
		case reflect.Map:
			value.Set(reflect.ValueOf(http.Header{"Left": {"left"}}))
		case reflect.Pointer:
			value.Set(reflect.New(f.Type.Elem()))
		case reflect.Interface:
			value.Set(reflect.ValueOf(io.NopCloser(nil)))
		default:
			t.Fatalf("a request has a field %s: who sets it, and who empties it?", f.Name)
		}
	}
}

// fieldsOf returns the fields of a turn's request in a form that can be compared: lines for heads, and for its body
// only which body it is.
func fieldsOf(t *turn) map[string]any {
	all := map[string]any{}
	for f, value := range reflect.ValueOf(t.request).Elem().Fields() {
		if !f.IsExported() {
			continue
		}
		all[f.Name] = value.Interface()
		if lines := exchange.LinesOf(headOf(value)); lines != nil {
			all[f.Name] = append([]field.Line{}, lines.List()...)
		}
	}
	if t.body != nil {
		all["Body"] = t.request.Body == io.ReadCloser(t.body) && t.body.turn == t
	}
	return all
}

// headOf returns a field that is a map of header fields, and nil for any other field.
func headOf(value reflect.Value) http.Header {
	head, _ := reflect.TypeAssert[http.Header](value)
	return head
}
