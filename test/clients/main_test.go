// Package clients_test has real clients talk to real servers through the real binary: what works directly must work
// through the gateway. Each file tests one kind of traffic.
//
// It is a module of its own, because the gateway needs none of these libraries.
package clients_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc/grpclog"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

func TestMain(m *testing.M) {
	grpclog.SetLoggerV2(newFatalLogger()) // before any gRPC code runs
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		weirtest.Cleanup()
		os.Exit(code)
	}))
}

// startWeir runs the gateway with the given routes, one per argument.
func startWeir(t *testing.T, routes ...string) *weirtest.Gateway {
	t.Helper()
	return startWeirWith(t, "", routes...)
}

// startWeirWith is startWeir with further lines of config above the routes.
func startWeirWith(t *testing.T, more string, routes ...string) *weirtest.Gateway {
	t.Helper()
	file := filepath.Join(t.TempDir(), "weir.yaml")
	config := "listen: :8080\n" + more + "routes:\n  " + strings.Join(routes, "\n  ") + "\n"
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return startFile(t, file)
}

// startFile runs the gateway with a config file.
func startFile(t *testing.T, file string) *weirtest.Gateway {
	t.Helper()
	gateway := weirtest.Start(t, file)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("weir says:\n%s", gateway.Log())
		}
	})
	return gateway
}

// startOrigin runs an HTTP/1.1 server on a loopback port and returns its address.
func startOrigin(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// h1Client speaks HTTP/1.1.
func h1Client(t *testing.T) *http.Client {
	t.Helper()
	return clientOf(t, new(http.Protocols), (*http.Protocols).SetHTTP1)
}

// h2Client speaks HTTP/2 without TLS, by prior knowledge.
func h2Client(t *testing.T) *http.Client {
	t.Helper()
	return clientOf(t, new(http.Protocols), (*http.Protocols).SetUnencryptedHTTP2)
}

func clientOf(t *testing.T, protocols *http.Protocols, set func(*http.Protocols, bool)) *http.Client {
	t.Helper()
	set(protocols, true)
	transport := &http.Transport{Protocols: protocols, DisableCompression: true, ExpectContinueTimeout: await.Patience}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 2 * await.Patience}
}
