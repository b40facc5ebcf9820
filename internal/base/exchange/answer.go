package exchange

import (
	"net/http"

	"github.com/weir-gateway/weir/internal/base/fault"
)

// Refuse answers r with f if no exchange was opened. It must be called before anything was written to w. Within an
// exchange Writer.Fail does this.
func Refuse(w http.ResponseWriter, r *http.Request, f *fault.Fault) {
	answer(w, headOf(w), r, f, fault.Context{})
}

// answer writes the response for f; head is w's.
func answer(w http.ResponseWriter, head Head, r *http.Request, f *fault.Fault, c fault.Context) {
	c.GRPC = IsGRPC(r.ProtoMajor, RequestHead(r))
	a := f.Answer(c)
	SetFields(head, a.Fields...)
	w.WriteHeader(a.Status)
	if r.Method != http.MethodHead && len(a.Body) > 0 {
		_, _ = w.Write(a.Body) // the client may be gone, and no one else needs the error
	}
}
