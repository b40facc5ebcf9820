// Package alerts_test holds what operators look at to what the gateway counts. Real gateways are brought into the
// states that alerts are for and scraped, and Prometheus's own engine evaluates the rules of deploy/prometheus over
// what was scraped. Queries of the dashboard and on pages are read by its parser.
//
// It is a module of its own, for the gateway needs none of Prometheus's server.
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

// read gives a file of the repository.
func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{weirtest.Root()}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// gateway is a running one with its config.
type gateway struct {
	*weirtest.Gateway
	t     *testing.T
	path  string
	state string // its folder; "" where it has none
}

// start serves a config, on one socket that is called :8080 where the config does not say.
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

// get asks n times, each time on a new connection. What is answered does not matter.
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

// scrape gives what Prometheus would be told.
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

// value is what a scrape says of a series, "" where it has none.
func (g *gateway) value(series string) string {
	g.t.Helper()
	_, rest, _ := strings.Cut(g.scrape(), "\n"+series+" ")
	value, _, _ := strings.Cut(rest, "\n")
	return value
}

// await waits until a scrape has a series with some value other than zero.
func (g *gateway) await(series string) {
	g.t.Helper()
	await.That(g.t, series, func() bool { value := g.value(series); return value != "" && value != "0" })
}

// grows waits until a series has another value than before something happened.
func (g *gateway) grows(series string, happens func()) {
	g.t.Helper()
	now := g.value(series)
	happens()
	await.That(g.t, series, func() bool { return g.value(series) != now })
}
