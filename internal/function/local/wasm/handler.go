package wasm

import (
	"context"
	"fmt"
	"net/http"

	"github.com/tetratelabs/wazero/api"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/function/form/reply"
)

// handler is a guest that is kept between requests.
type handler struct {
	sandbox *Sandbox
	ctx     context.Context //nolint:containedctx // the sandbox's, with the handler in it for functions of the host
	module  api.Module
	handle  api.Function
	memory  api.Memory
	result  [1]uint64
	call    *call // in progress; nil for none
	stdout  lines
	stderr  lines
}

// instantiate starts a handler. It calls _initialize, or else _start if the guest exports it: with some compilers,
// guests return from _start and stay usable.
func (s *Sandbox) instantiate() (*handler, error) {
	h := &handler{sandbox: s}
	h.stdout.emit = func(text []byte, cut int) { s.out.Line(false, text, cut) }
	h.stderr.emit = func(text []byte, cut int) { s.out.Line(true, text, cut) }
	h.ctx = context.WithValue(s.ctx, handlerKey{}, h)
	first := exportStart
	if _, ok := s.program.compiled.ExportedFunctions()[exportInitialize]; ok {
		first = exportInitialize
	}
	module, err := s.start(h.ctx, s.program.settings.WithStdout(&h.stdout).WithStderr(&h.stderr), first)
	h.flush()
	if err != nil {
		return nil, err
	}
	s.memory.Store(int64(module.Memory().Size()))
	h.module, h.handle = module, module.ExportedFunction(exportHandle)
	return h, nil
}

type handlerKey struct{}

func (h *handler) flush() {
	h.stdout.flush()
	h.stderr.flush()
}

func (h *handler) close() {
	_ = h.module.Close(context.Background()) // it only frees memory
}

// next is what handle_request returns in its lower half to pass the request on.
const next = 1

// serve lets the guest answer c. An error means that the guest has ended.
func (h *handler) serve(c *call) error {
	c.mu.Lock()
	c.res = exchange.NewResponse(c.r, http.StatusOK)
	c.mu.Unlock()
	h.call = c
	err := h.handle.CallWithStack(h.ctx, h.result[:])
	h.call = nil
	h.flush()
	h.sandbox.memory.Store(int64(h.module.Memory().Size()))
	switch {
	case err != nil:
		c.err = ErrEnded
	case word(h.result[:], 0) == next:
		c.err = &InvalidError{fmt.Errorf("%s returned next=1, as if there were somebody to pass the request on to; a function answers itself, and returns 0", exportHandle)}
	}
	return err //nolint:wrapcheck // it is explained
}

// answer returns the response that the guest has made.
func (c *call) answer() (*http.Response, error) {
	if c.err != nil {
		return nil, c.err
	}
	reply.SetBody(c.res, c.out)
	return c.res, nil
}
