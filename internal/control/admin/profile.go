package admin

import (
	"net/http"
	"net/http/pprof" // also registers with http.DefaultServeMux, which nothing here serves
	"time"
)

// profiles adds the paths that `go tool pprof` asks for. They can only be read: POST, which pprof would use for
// symbols, is a change by the rules of this API.
func profiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // and every named profile below
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", patient(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", patient(pprof.Trace))
}

// patient lets an answer take as long as the client asked. Otherwise net/http's server would take the end of the read
// deadline for the client's disconnect.
func patient(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // a writer without deadlines has none to remove
		next(w, r)
	}
}
