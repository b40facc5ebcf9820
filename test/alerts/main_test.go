// Package alerts_test compares what operators look at with what the gateway counts. Real gateways are brought into
// the states that the alerts are for, and scraped. Prometheus's own engine then evaluates the rules of
// deploy/prometheus over the scrapes. Queries of the dashboard and in the docs are parsed with its parser.
//
// It is a module of its own, because the gateway needs none of Prometheus's server.
package alerts_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		weirtest.Cleanup()
		os.Exit(code)
	}))
}

// read returns a file of the repository.
func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{weirtest.Root()}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// gateway is a running gateway with its config.
type gateway struct {
	*weirtest.Gateway
	t     *testing.T
	path  string
	state string // its state folder; "" if it has none
}

// start serves a config, on one socket that is called :8080 if the config names none.
func start(t *testing.T, config string) *gateway {
	t.Helper()
	g := &gateway{t: t, path: filepath.Join(t.TempDir(), "weir.yaml")}
	g.write(config)
	g.Gateway = weirtest.Start(t, g.path)
	return g
}

func (g *gateway) write(config string) {
	g.t.Helper()
	if !strings.HasPrefix(config, "listen:") {
		config = "listen: :8080\n" + config
	}
	if err := os.WriteFile(g.path, []byte(config), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// get sends n requests, each on a new connection. The answers do not matter.
func (g *gateway) get(path string, n int, fields ...string) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	for range n {
		request, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, "http://"+g.Address+path, http.NoBody)
		if err != nil {
			g.t.Error(err)
			return
		}
		for _, f := range fields {
			name, value, _ := strings.Cut(f, ": ")
			request.Header.Set(name, value)
		}
		if res, err := client.Do(request); err == nil {
			_, _ = io.Copy(io.Discard, res.Body) // it may be cut off
			_ = res.Body.Close()
		}
	}
}

// scrape returns what Prometheus would receive.
func (g *gateway) scrape() string {
	g.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	res, err := client.Get("http://" + g.Admin + "/metrics")
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		g.t.Fatalf("%d %s %v", res.StatusCode, text, err)
	}
	return string(text)
}

// value returns the value of a series in a scrape, or "" if the scrape does not contain it.
func (g *gateway) value(series string) string {
	g.t.Helper()
	_, rest, _ := strings.Cut(g.scrape(), "\n"+series+" ")
	value, _, _ := strings.Cut(rest, "\n")
	return value
}

// await waits until a scrape has a series with a value other than zero.
func (g *gateway) await(series string) {
	g.t.Helper()
	await.That(g.t, series, func() bool { value := g.value(series); return value != "" && value != "0" })
}

// grows waits until a series has another value than before the call of happens.
func (g *gateway) grows(series string, happens func()) {
	g.t.Helper()
	now := g.value(series)
	happens()
	await.That(g.t, series, func() bool { return g.value(series) != now })
}
