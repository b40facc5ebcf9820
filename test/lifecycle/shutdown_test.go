//go:build linux

package lifecycle_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

// write writes a config into a folder of its own.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// unixTransport connects to a Unix socket, whatever the URL says.
func unixTransport(path string) *http.Transport {
	return &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
}

// status sends one request, on a connection that is kept if the gateway allows it.
func status(t *testing.T, c *http.Client, url string) *http.Response {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	return res
}

func TestReadinessFailsBeforeAnythingElse(t *testing.T) {
	g := weirtest.Start(t, write(t, "listen: :8080\nshutdown: { delay: 1h }\nroutes:\n  GET /: respond:hello\n"))
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	if res := status(t, client, "http://"+g.Address+"/"); res.StatusCode != http.StatusOK || res.Close {
		t.Errorf("before: %d, close %v", res.StatusCode, res.Close)
	}
	if res := status(t, client, "http://"+g.Admin+"/readyz"); res.StatusCode != http.StatusOK {
		t.Errorf("ready: %d", res.StatusCode)
	}
	g.Terminate(t)
	await.That(t, "it is not ready any more", func() bool {
		return status(t, client, "http://"+g.Admin+"/readyz").StatusCode == http.StatusServiceUnavailable
	})
	for range 2 { // on the connection from before, and on a new one
		if res := status(t, client, "http://"+g.Address+"/"); res.StatusCode != http.StatusOK || !res.Close {
			t.Errorf("in the delay: %d, close %v, want to be served and sent away", res.StatusCode, res.Close)
		}
	}
	if res := status(t, client, "http://"+g.Admin+"/healthz"); res.StatusCode != http.StatusOK {
		t.Errorf("alive: %d", res.StatusCode)
	}
	g.MayFail()
	g.Terminate(t) // a second time
	await.That(t, "a second interrupt ends it", g.Ended)
}
