package clients_test

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/test/weirtest"
)

// TestHealthOverGRPC has the gateway check grpc-go's own health service, and a server that has none.
func TestHealthOverGRPC(t *testing.T) {
	knows := health.NewServer()
	knows.SetServingStatus("shop.Users", healthpb.HealthCheckResponse_SERVING)
	with, without := serveGRPC(t, knows), serveGRPC(t, nil)
	path := filepath.Join(t.TempDir(), "weir.yaml")
	text := "listen: :8080\nservices:\n  users:\n    endpoints: [" + with + ", " + without + "]\n    protocol: grpc\n" +
		"    health: { service: shop.Users, every: 100ms }\nroutes:\n  ANY /**: users\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g := weirtest.Start(t, path)
	stands := func(address string) (state, why string) {
		res, err := http.Get("http://" + g.Admin + "/v1/services/users")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var now struct {
			Endpoints []struct{ Address, State, Why string }
		}
		if err := json.NewDecoder(res.Body).Decode(&now); err != nil {
			t.Fatal(err)
		}
		for _, e := range now.Endpoints {
			if e.Address == address {
				return e.State, e.Why
			}
		}
		return "", ""
	}
	is := func(address, state, why string) func() bool {
		return func() bool { s, w := stands(address); return s == state && w == why }
	}
	await.That(t, "it serves", is(with, "healthy", ""))
	await.That(t, "who knows no health serves", is(without, "healthy", ""))
	knows.SetServingStatus("shop.Users", healthpb.HealthCheckResponse_NOT_SERVING)
	await.That(t, "it does not serve", is(with, "unhealthy", "NOT_SERVING"))
	knows.SetServingStatus("shop.Users", healthpb.HealthCheckResponse_SERVICE_UNKNOWN)
	await.That(t, "it is not known", is(with, "unhealthy", "SERVICE_UNKNOWN"))
	knows.SetServingStatus("shop.Users", healthpb.HealthCheckResponse_SERVING)
	await.That(t, "it serves again", is(with, "healthy", ""))
}

// serveGRPC serves until the test ends, with or without a health service.
func serveGRPC(t *testing.T, h *health.Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	if h != nil {
		healthpb.RegisterHealthServer(server, h)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("the gRPC server: %v", err)
		}
	})
	return l.Addr().String()
}
