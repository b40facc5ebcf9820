package csrf

import (
	"net/http"
	"strings"

	"github.com/weir-gateway/weir/internal/base/exchange"
	"github.com/weir-gateway/weir/internal/base/fault"
	"github.com/weir-gateway/weir/internal/base/httpx"
	"github.com/weir-gateway/weir/internal/filter"
)

// policy is a Config ready to run.
type policy struct {
	trusted   map[string]bool // origins
	dryRun    bool
	decisions filter.Decisions
}

// guard refuses requests that a page of another site sends. It looks only at fields that browsers add themselves and no
// page can change: Sec-Fetch-Site (W3C Fetch Metadata) and, for browsers from before 2023, Origin. Other clients send
// neither, have no visitor's cookies and pass.
func (p *policy) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ok, why := p.passes(r); !ok {
			p.decisions.Record(r, filter.Decision{Refuses: true, DryRun: p.dryRun, Reason: func() string { return why }})
			if !p.dryRun {
				exchange.Fail(w, refusal(why))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// ask tells what guard would do.
func (p *policy) ask(r *http.Request) filter.Verdict {
	switch ok, why := p.passes(r); {
	case ok:
		return filter.Verdict{Why: why}
	case p.dryRun:
		return filter.Verdict{Why: why + "; a dry run, so it passes"}
	default:
		return filter.Verdict{Why: why, Fault: refusal(why)}
	}
}

func refusal(why string) *fault.Fault {
	return fault.Forbidden.New("The request comes from a page of another site.", fault.Internal("csrf: %s", why))
}

// passes decides, and returns the reason. Methods that change nothing (RFC 9110 section 9.2.1) pass, except for
// upgrades: a WebSocket from another site's page would use the visitor's cookies.
func (p *policy) passes(r *http.Request) (ok bool, why string) {
	head := exchange.RequestHead(r)
	if httpx.IsSafe(r.Method) && head.Get("Upgrade") == "" {
		return true, "the method changes nothing"
	}
	origins, sites := head.Values("Origin"), head.Values("Sec-Fetch-Site")
	switch {
	case len(origins) > 1 || len(sites) > 1:
		return false, "Origin or Sec-Fetch-Site came twice"
	case len(origins) == 1 && p.trusted[origins[0]]:
		return true, "the origin is trusted"
	case len(sites) == 1:
		if s := sites[0]; s != "same-origin" && s != "none" {
			return false, "Sec-Fetch-Site says that it comes from another site or origin"
		}
		return true, "Sec-Fetch-Site says that it comes from this origin"
	case len(origins) == 0:
		return true, "no browser sends it, for there is neither Origin nor Sec-Fetch-Site"
	case isOf(origins[0], exchange.Of(r).Client.Host):
		return true, "the origin is this host"
	default:
		return false, "the origin is another host"
	}
}

// isOf tells whether an origin has the host that the client requested. The scheme is not compared, because behind a
// proxy that terminates TLS it is not always known.
func isOf(origin, host string) bool {
	_, authority, ok := strings.Cut(origin, "://")
	return ok && authority != "" && strings.EqualFold(authority, host)
}
