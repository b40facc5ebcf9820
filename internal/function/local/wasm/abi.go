package wasm

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/function/form/reply"
)

// The kinds of header fields and bodies in the ABI (http-wasm.io, HTTP Handler ABI).
const (
	kindRequest  = 0
	kindResponse = 1
)

// features are those that a function always has: all bodies are buffered. It has no trailers.
const features = 1<<0 | 1<<1

// mostAnswer bounds a response's body, which is held until the guest is done.
const mostAnswer = 6 << 20

// function is one of the host's functions. If it panics, the guest traps.
type function func(h *handler, stack []uint64)

// provideHTTP gives guests the functions that they import to read a request and to answer it.
func provideHTTP(ctx context.Context, runtime wazero.Runtime) error {
	builder := runtime.NewHostModuleBuilder(moduleHTTP)
	const i32, i64 = api.ValueTypeI32, api.ValueTypeI64
	provide := func(name string, f function, params int, results ...api.ValueType) {
		types := make([]api.ValueType, params)
		for i := range types {
			types[i] = i32
		}
		call := api.GoModuleFunc(func(ctx context.Context, guest api.Module, stack []uint64) {
			h, ok := ctx.Value(handlerKey{}).(*handler)
			if !ok {
				panic(fmt.Errorf("%s.%s is for handlers only", moduleHTTP, name))
			}
			h.memory = guest.Memory() // also used while the guest starts
			if c := h.call; c != nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				if c.abandoned {
					panic(errAbandoned)
				}
			}
			f(h, stack)
		})
		builder.NewFunctionBuilder().WithGoModuleFunction(call, types, results).Export(name)
	}
	provide("enable_features", func(_ *handler, stack []uint64) { stack[0] = features }, 1, i32)
	provide("get_config", text((*handler).config), 2, i32)
	provide("log", (*handler).log, 3)
	provide("log_enabled", func(_ *handler, stack []uint64) { stack[0] = 1 }, 1, i32)
	provide("get_method", text(func(h *handler) string { return h.open().r.Method }), 2, i32)
	provide("get_uri", text(func(h *handler) string { return target(h.open().r) }), 2, i32)
	provide("get_protocol_version", text(func(h *handler) string { return h.open().r.Proto }), 2, i32)
	provide("get_source_addr", text(func(h *handler) string { return source(h.open().r) }), 2, i32)
	provide("set_method", func(h *handler, stack []uint64) { h.open().method(h.text(stack, 0)) }, 2)
	provide("set_uri", func(h *handler, stack []uint64) { h.open().uri(h.text(stack, 0)) }, 2)
	provide("get_header_names", (*handler).names, 3, i64)
	provide("get_header_values", (*handler).values, 5, i64)
	provide("set_header_value", func(h *handler, stack []uint64) { h.setField(stack, true) }, 5)
	provide("add_header_value", func(h *handler, stack []uint64) { h.setField(stack, false) }, 5)
	provide("remove_header", func(h *handler, stack []uint64) { h.fields(word(stack, 0)).Del(h.text(stack, 1)) }, 3)
	provide("read_body", (*handler).readBody, 3, i64)
	provide("write_body", (*handler).writeBody, 3)
	provide("get_status_code", func(h *handler, stack []uint64) { stack[0] = uint64(h.open().res.StatusCode) }, 0, i32)
	provide("set_status_code", func(h *handler, stack []uint64) { h.open().status(int(int32(stack[0]))) }, 1)
	if _, err := builder.Instantiate(ctx); err != nil {
		return fmt.Errorf("%s: %w", moduleHTTP, err)
	}
	return nil
}

// open returns the call in progress.
func (h *handler) open() *call {
	if h.call == nil {
		panic(errors.New("there is no request while the guest starts"))
	}
	return h.call
}

// text makes a function that writes a text to (buf, buf_limit) and returns its length.
func text(get func(h *handler) string) function {
	return func(h *handler, stack []uint64) {
		value := get(h)
		stack[0] = uint64(h.put(value, stack[0], stack[1]))
	}
}

// put writes value if it fits, and always returns its length.
func (h *handler) put(value string, at, limit uint64) int {
	if len(value) <= int(uint32(limit)) && len(value) > 0 && !h.memory.WriteString(uint32(at), value) {
		panic(outside(at, uint64(len(value))))
	}
	return len(value)
}

func outside(at, length uint64) error {
	return fmt.Errorf("%d bytes at %d are not within the guest's memory", uint32(length), uint32(at))
}

// word returns an i32 of the stack. Its upper half may hold anything.
func word(stack []uint64, i int) uint32 { return uint32(stack[i]) }

// bytes returns the guest's memory itself at stack[i], stack[i+1]. It is valid until the guest continues.
func (h *handler) bytes(stack []uint64, i int) []byte {
	view, ok := h.memory.Read(word(stack, i), word(stack, i+1))
	if !ok {
		panic(outside(stack[i], stack[i+1]))
	}
	return view
}

func (h *handler) text(stack []uint64, i int) string { return string(h.bytes(stack, i)) }

// config is the first of the function's arguments, as guests have one configuration text.
func (h *handler) config() string {
	if args := h.sandbox.program.config.Args; len(args) > 0 {
		return args[0]
	}
	return ""
}

// log writes a message to the log. The levels of the ABI are debug -1, info 0, warn 1 and error 2. Times four, they are
// slog's.
func (h *handler) log(stack []uint64) {
	const steps, none = 4, 3
	level := int(int32(stack[0]))
	if level >= none {
		return
	}
	message, ok := h.memory.Read(word(stack, 1), word(stack, 2))
	if ok { // the ABI requires no trap
		h.sandbox.out.Log(max(level, -1)*steps, message[:min(len(message), mostLine)])
	}
}

// target is path and query as they were sent.
func target(r *http.Request) string {
	if uri := r.URL.RequestURI(); uri != "" {
		return uri
	}
	return "/"
}

func source(r *http.Request) string {
	client := &exchange.Of(r).Client
	if !client.IP.IsValid() { // on a Unix socket
		return ""
	}
	port := "0" // of a client behind a proxy, where it is unknown
	if client.Peer.IsValid() && client.Peer.Addr() == client.IP {
		port = strconv.Itoa(int(client.Peer.Port()))
	}
	return net.JoinHostPort(client.IP.String(), port)
}

func (c *call) method(name string) {
	if name == "" {
		panic(errors.New("a method is not empty"))
	}
	c.r.Method = name
}

func (c *call) uri(written string) {
	changed, err := c.r.URL.Parse(written)
	if err != nil || !strings.HasPrefix(changed.Path, "/") {
		panic(fmt.Errorf("%q is no URI", written))
	}
	c.r.URL = changed
}

func (c *call) status(code int) {
	if code < 200 || code > 599 {
		panic(fmt.Errorf("%d is no status of a response: 200 to 599 are", code))
	}
	c.res.StatusCode, c.res.Status = code, strconv.Itoa(code)+" "+http.StatusText(code)
}

// fields returns the header fields of a kind. There are no trailers, and setting one traps.
func (h *handler) fields(kind uint32) exchange.Head {
	c := h.open()
	switch kind {
	case kindRequest:
		return exchange.RequestHead(c.r)
	case kindResponse:
		return exchange.ResponseHead(c.res)
	}
	panic(fmt.Errorf("there are no fields of kind %d: a function has no trailers", kind))
}

// names writes the names of all header fields, in lower case.
func (h *handler) names(stack []uint64) {
	kind := word(stack, 0)
	if kind > kindResponse {
		stack[0] = 0
		return
	}
	list := make([]string, 0, 16)
	for _, name := range h.fields(kind).Names() {
		list = append(list, strings.ToLower(name))
	}
	if kind == kindRequest {
		list = append(list, "host")
	}
	stack[0] = h.putAll(list, stack[1], stack[2])
}

// values writes the values of one header field.
func (h *handler) values(stack []uint64) {
	kind := word(stack, 0)
	if kind > kindResponse {
		stack[0] = 0
		return
	}
	name := h.text(stack, 1)
	list := h.fields(kind).Values(name)
	if kind == kindRequest && strings.EqualFold(name, "Host") {
		list = []string{h.open().r.Host}
	}
	stack[0] = h.putAll(list, stack[3], stack[4])
}

// putAll writes texts, each followed by a NUL, if all of them fit, and returns their count and length.
func (h *handler) putAll(list []string, at, limit uint64) uint64 {
	length := 0
	for _, value := range list {
		length += len(value) + 1
	}
	if length > 0 && length <= int(uint32(limit)) {
		view, ok := h.memory.Read(uint32(at), uint32(length))
		if !ok {
			panic(outside(at, uint64(length)))
		}
		for _, value := range list {
			n := copy(view, value)
			view[n] = 0
			view = view[n+1:]
		}
	}
	return uint64(len(list))<<32 | uint64(uint32(length))
}

// setField sets or adds a header field: kind, name, value.
func (h *handler) setField(stack []uint64, replace bool) {
	head, name, value := h.fields(word(stack, 0)), h.text(stack, 1), h.text(stack, 3)
	ours, err := reply.Check(name, value)
	switch {
	case err != nil:
		panic(err)
	case !ours:
	case replace:
		head.Set(name, value)
	default:
		head.Add(name, value)
	}
}

// eof in the upper half of read_body's result says that nothing is left.
const eof = 1 << 32

// readBody returns the rest of the request's body, piece by piece. There is no response body to read, because no other
// handler has answered before.
func (h *handler) readBody(stack []uint64) {
	c := h.open()
	view := h.bytes(stack, 1)
	switch {
	case len(view) == 0:
		panic(errors.New("read_body: there is no room to read to"))
	case word(stack, 0) != kindRequest:
		stack[0] = eof
		return
	}
	n := copy(view, c.body)
	c.body = c.body[n:]
	stack[0] = uint64(n)
	if len(c.body) == 0 {
		stack[0] |= eof
	}
}

// writeBody adds to the response's body, or replaces the request's body.
func (h *handler) writeBody(stack []uint64) {
	c := h.open()
	view := h.bytes(stack, 1)
	if word(stack, 0) == kindRequest {
		if !c.replaced {
			c.replaced, c.body = true, nil
		}
		c.body = append(c.body, view...)
		view = nil
	}
	if len(c.out)+len(view) > mostAnswer || len(c.body) > mostAnswer {
		panic(fmt.Errorf("write_body: a body of more than %d MiB", mostAnswer>>20))
	}
	c.out = append(c.out, view...)
}
