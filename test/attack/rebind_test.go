package attack_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/egress/egresstest"
	"github.com/weir-gateway/weir/test/weirtest"
)

// TestNamesThatLeadInside tests DNS rebinding: the backend of a group has an Internet name that resolves to the
// gateway's own machine. Routes of the operator may call that address. The group may not, until it is given the
// right.
func TestNamesThatLeadInside(t *testing.T) {
	var calls atomic.Int64
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	t.Cleanup(inner.Close)
	_, port, err := net.SplitHostPort(inner.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	names := egresstest.Serve(t, "127.0.0.1")
	config := filepath.Join(t.TempDir(), "weir.yaml")
	write := func(reach string) {
		t.Helper()
		text := fmt.Sprintf("listen: :8080\nresolver: '%s'\ngroups:\n  team:%s\n    routes:\n      GET /team: http://partner.example.com:%s\n      GET /step: { compose: { a: 'http://partner.example.com:%s/' } }\nroutes:\n  GET /operator: http://partner.example.com:%s\n",
			names.Address, reach, port, port, port)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	w := &world{gateway: weirtest.Start(t, config)}
	for range 3 { // with connections that the operator's requests have left open
		if status := w.send(t, get("/operator", "X-Nothing: 1")); status != 200 || calls.Swap(0) != 1 {
			t.Fatalf("the operator's route: %d, after %d questions", status, names.Asked())
		}
		for _, path := range []string{"/team", "/step"} {
			if status := w.send(t, get(path, "X-Nothing: 1")); status != 502 || calls.Load() > 0 {
				t.Fatalf("%s: %d, and the backend was called %d times", path, status, calls.Load())
			}
		}
	}
	await.That(t, "the log tells of it", func() bool {
		log := w.gateway.Log()
		return strings.Contains(log, "a backend is where it may not be") && strings.Contains(log, "backend-forbidden")
	})
	write("\n    reach: 127.0.0.0/8")
	await.That(t, "the group has the right", func() bool { return w.send(t, get("/team", "X-Nothing: 1")) == 200 })
}
