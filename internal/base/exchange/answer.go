package exchange

import (
	"net/http"

	"github.com/weir-gateway/weir/internal/base/fault"
)

// Refuse answers r with f when no exchange has been opened. It must be called before anything is written to w. Within
// an exchange, use Writer.Fail.
func Refuse(w http.ResponseWriter, r *http.Request, f *fault.Fault) {
	answer(w, headOf(w), r, f, fault.Context{})
}

// answer writes the response that f stands for. head is the head of w.
func answer(w http.ResponseWriter, head Head, r *http.Request, f *fault.Fault, c fault.Context) {
	c.GRPC = IsGRPC(r.ProtoMajor, RequestHead(r))
	a := f.Answer(c)
	SetFields(head, a.Fields...)
	w.WriteHeader(a.Status)
	if r.Method != http.MethodHead && len(a.Body) > 0 {
		_, _ = w.Write(a.Body) // the client may be gone, and nobody else needs the error
	}
}
