package compile_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// TestCoalescingIsAboutOneBackend holds that nobody gets what another variant answered.
func TestCoalescingIsAboutOneBackend(t *testing.T) {
	w := newWorld(t)
	var calls atomic.Int64
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		w.Header().Set("X-Path", r.URL.Path)
	}))
	t.Cleanup(backend.Close)
	const several = "routes:\n  GET /a/**:\n    coalesce: true\n    to:\n      - { share: 50%, use: 'URL' }\n      - URL\n"
	pending, problems := w.compiler.Compile(w.load(strings.ReplaceAll(several, "URL", backend.URL)), "digest")
	if pending != nil || len(problems) != 1 || !strings.Contains(problems[0].String(), "filter coalesce; it is about one backend, and the route has several; write it under each of these") {
		t.Errorf("several backends: %v", problems)
	}
	w.serve(w.load(strings.ReplaceAll("routes:\n  GET /a/**:\n    coalesce: { vary: X-Tenant }\n    strip: /a\n    to: URL\n  GET /b:\n    to:\n      - { share: 50%, use: 'URL', coalesce: true }\n      - { use: 'URL', coalesce: true }\n", "URL", backend.URL)))
	for _, path := range []string{"/a/x", "/b"} {
		before := calls.Load()
		for range 2 {
			if got := w.get(path); got.Code != 200 || got.Header().Get("X-Path") != strings.TrimPrefix(path, "/a") {
				t.Errorf("%s: %d, the backend saw %q", path, got.Code, got.Header().Get("X-Path"))
			}
		}
		if n := calls.Load() - before; n != 2 {
			t.Errorf("%s: two requests one after the other made %d calls", path, n)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/a/x", nil)
	r.RequestURI = "/a/x"
	e := w.gateway.Current().Explain(":8080", r, netip.AddrPort{}, nil)
	if len(e.Backends) != 1 || e.Backends[0].Request == nil || e.Backends[0].Request.Target != "/x" || !strings.HasPrefix(e.Filters[0].Note, "identical GET and HEAD once") {
		t.Errorf("explained as %+v, %+v", e.Backends, e.Filters)
	}
}
