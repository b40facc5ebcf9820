package discovery_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

// TestARestartWhileNamesCannotBeSeen kills the gateway while no name server answers, and starts it again. The gateway
// sends requests to the endpoints from before, says so, and follows the names once they can be resolved again.
func TestARestartWhileNamesCannotBeSeen(t *testing.T) {
	n := serveNames(t)
	one, port := serveBackend(t, "127.0.0.1", 0)
	serveBackend(t, "127.0.0.2", port)
	n.are("users.internal", one.address)
	folder := t.TempDir()
	path, state := filepath.Join(folder, "weir.yaml"), filepath.Join(folder, "state")
	text := fmt.Sprintf("listen: :8080\nresolver: { servers: %q, min_ttl: 100ms }\nroutes:\n  GET /: http://users.internal:%d\n", n.address, port)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func() *weirtest.Gateway { return weirtest.Start(t, path, "--state", state) }
	says := func(g *weirtest.Gateway) string {
		t.Helper()
		res, body := ask(t, http.MethodGet, "http://"+g.Address+"/")
		where, _, _ := strings.Cut(body, " for ")
		return fmt.Sprintf("%d %s", res.StatusCode, where)
	}

	g := start()
	const before, after = "200 127.0.0.1", "200 127.0.0.2"
	await.That(t, "it answers at first", func() bool { return says(g) == before })
	await.That(t, "the endpoints are on disk", func() bool { return len(kept(t, state)) == 1 })
	n.fail(true)
	g.Kill()

	g = start()
	if got := says(g); got != before {
		t.Errorf("while nobody tells names: %s, and before %s", got, before)
	}
	if h := heardOf(t, g); !h.Kept || h.Count != 1 || h.Confirmed.IsZero() || time.Since(h.Confirmed) > time.Hour {
		t.Errorf("it stands so: %+v", h)
	}
	if _, told := ask(t, http.MethodGet, "http://"+g.Admin+"/v1/explain?url=/&format=text"); !strings.Contains(told, "from before the start, last confirmed") {
		t.Errorf("explain says\n%s", told)
	}
	if _, metrics := ask(t, http.MethodGet, "http://"+g.Admin+"/metrics"); !strings.Contains(metrics, fmt.Sprintf("weir_backend_endpoints_unconfirmed{backend=\"http://users.internal:%d\"} 1\n", port)) {
		t.Error("the metrics do not tell that the endpoint is not confirmed")
	}

	n.are("users.internal", "127.0.0.2")
	n.fail(false)
	await.That(t, "the name is followed again", func() bool { return says(g) == after })
	if h := heardOf(t, g); h.Kept || h.Count != 1 {
		t.Errorf("when names are seen again it stands so: %+v", h)
	}
	await.That(t, "the endpoint of now is on disk", func() bool { return strings.Contains(strings.Join(kept(t, state), ""), "127.0.0.2:") })
}

// kept returns the content of the files that a restart would use.
func kept(t *testing.T, state string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(state, "*", "shelf", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil { // it may be gone by now
			texts = append(texts, string(text))
		}
	}
	return texts
}

// heard is what the status reports about an outside source.
type heard struct {
	Count     int
	Confirmed time.Time
	Kept      bool
}

func heardOf(t *testing.T, g *weirtest.Gateway) heard {
	t.Helper()
	_, text := ask(t, http.MethodGet, "http://"+g.Admin+"/v1/status")
	var status struct{ Heard []heard }
	if err := json.Unmarshal([]byte(text), &status); err != nil || len(status.Heard) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	return status.Heard[0]
}
