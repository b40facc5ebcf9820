// Package registryapitest serves the API of a registry to tests, without a gateway around it.
package registryapitest

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/traffic/registryapi"
)

// Handler serves an API as a gateway's listener does.
func Handler(api *registryapi.API) http.Handler {
	mux := http.NewServeMux()
	for _, o := range api.Operations() {
		mux.HandleFunc(o.Method+" "+o.Pattern, func(w http.ResponseWriter, r *http.Request) {
			x := &exchange.Exchange{Start: time.Now(), Path: r.URL.EscapedPath(), Query: r.URL.RawQuery}
			if at, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
				x.Client = exchange.Client{Peer: at, IP: at.Addr().Unmap()}
			}
			for _, name := range []string{"service", "id"} {
				x.Params.Add(name, r.PathValue(name))
			}
			ew, r := exchange.Begin(w, r, x)
			o.Handler.ServeHTTP(ew, r)
			ew.Finish(nil)
		})
	}
	return mux
}
