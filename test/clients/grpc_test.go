package clients_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/grpclog"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/weir-gateway/weir/internal/base/await"
	"github.com/weir-gateway/weir/internal/base/freeport"
	"github.com/weir-gateway/weir/internal/wire/secure/securetest"
	"github.com/weir-gateway/weir/test/weirtest"
)

// fatalLogger turns a fatal log line, which is how the interop cases fail, into a panic. A case then fails its own
// test instead of ending the process.
type fatalLogger struct{ grpclog.LoggerV2 }

func newFatalLogger() fatalLogger { return fatalLogger{grpclog.NewLoggerV2(quiet{}, quiet{}, quiet{})} }

func (fatalLogger) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (fatalLogger) Fatalln(args ...any)               { panic(fmt.Sprintln(args...)) }
func (fatalLogger) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

type quiet struct{}

func (quiet) Write(p []byte) (int, error) { return len(p), nil }

// calls reports when and why the server's calls ended.
type calls struct{ ended chan error }

func (c calls) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (c calls) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (c calls) HandleConn(context.Context, stats.ConnStats)                       {}
func (c calls) HandleRPC(_ context.Context, s stats.RPCStats) {
	if end, ok := s.(*stats.End); ok {
		select {
		case c.ended <- end.Error:
		default: // the test does not wait for this
		}
	}
}

// startGRPC runs grpc-go's interop server, with the health service, on h2c unless options say otherwise.
func startGRPC(t *testing.T, options ...grpc.ServerOption) (calls, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := calls{ended: make(chan error, 64)}
	server := grpc.NewServer(append(options, grpc.StatsHandler(c))...)
	testgrpc.RegisterTestServiceServer(server, interop.NewTestServer())
	healthpb.RegisterHealthServer(server, health.NewServer())
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("the gRPC server: %v", err)
		}
	})
	return c, l.Addr().String()
}

func dialGRPC(t *testing.T, gateway *weirtest.Gateway) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(gateway.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // closed only once, so it cannot fail
	return conn
}

func TestGRPCInterop(t *testing.T) {
	_, address := startGRPC(t)
	interopCases(t, dialGRPC(t, startWeir(t, "ANY /**: { to: grpc://"+address+" }")))
}

// TestGRPCInteropOverTLS uses TLS on both sides, with client certificates too.
func TestGRPCInteropOverTLS(t *testing.T) {
	a := securetest.NewAuthority(t, "shop")
	folder := t.TempDir()
	securetest.Write(t, folder, "weir", a.Issue([]string{"shop.dev", "weir.internal"}))
	securetest.WriteFile(t, filepath.Join(folder, "ca.crt"), a.PEM())
	_, address := startGRPC(t, grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{a.Issue([]string{"calls.internal"})}, ClientCAs: a.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
	})))
	file := filepath.Join(folder, "weir.yaml")
	config := `listen:
  public: { address: ":8443", hostname: shop.dev, tls: { cert: weir.crt, key: weir.key, client_ca: ca.crt } }
routes:
  ANY /**: calls
services:
  calls:
    endpoints: [` + address + `]
    protocol: grpc
    tls: { name: calls.internal, ca: ca.crt, cert: weir.crt, key: weir.key }
`
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	gateway := weirtest.Start(t, file)
	conn, err := grpc.NewClient(gateway.Address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		ServerName: "shop.dev", RootCAs: a.Pool(), Certificates: []tls.Certificate{a.Issue([]string{"alice"})},
	})), grpc.WithAuthority("shop.dev"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // closed only once, so it cannot fail
	interopCases(t, conn)
}

// interopCases are the cases of gRPC's interop client that need no account.
func interopCases(t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	service := testgrpc.NewTestServiceClient(conn)
	for name, run := range map[string]func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption){
		"empty_unary":                 interop.DoEmptyUnaryCall,
		"large_unary":                 interop.DoLargeUnaryCall,
		"client_streaming":            interop.DoClientStreaming,
		"server_streaming":            interop.DoServerStreaming,
		"ping_pong":                   interop.DoPingPong,
		"empty_stream":                interop.DoEmptyStream,
		"timeout_on_sleeping_server":  interop.DoTimeoutOnSleepingServer,
		"cancel_after_begin":          interop.DoCancelAfterBegin,
		"cancel_after_first_response": interop.DoCancelAfterFirstResponse,
		"status_code_and_message":     interop.DoStatusCodeAndMessage,
		"special_status_message":      interop.DoSpecialStatusMessage,
		"custom_metadata":             interop.DoCustomMetadata,
		"unimplemented_method": func(ctx context.Context, _ testgrpc.TestServiceClient, _ ...grpc.CallOption) {
			interop.DoUnimplementedMethod(ctx, conn)
		},
		"unimplemented_service": func(ctx context.Context, _ testgrpc.TestServiceClient, _ ...grpc.CallOption) {
			interop.DoUnimplementedService(ctx, testgrpc.NewUnimplementedServiceClient(conn))
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), await.Patience)
			defer cancel()
			defer func() {
				if failure := recover(); failure != nil {
					t.Error(failure)
				}
			}()
			run(ctx, service)
		})
	}
}

func TestGRPCErrorsOfTheGatewayAreStatuses(t *testing.T) {
	conn := dialGRPC(t, startWeir(t, "POST /grpc.health.v1.Health/**: { to: grpc://"+freeport.Address(t)+" }"))

	_, err := testgrpc.NewTestServiceClient(conn).EmptyCall(t.Context(), &testgrpc.Empty{})
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("no route: %v, want Unimplemented", err)
	}
	_, err = healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("dead backend: %v, want Unavailable", err)
	}
}

// An error of the gateway itself is a single head that contains the status, and nothing more.
func TestGRPCErrorOfTheGatewayIsTrailersOnly(t *testing.T) {
	gateway := startWeir(t, "GET /elsewhere: respond:204")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+gateway.Address+"/shop.Orders/Get", strings.NewReader("\x00\x00\x00\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("TE", "trailers")
	res, err := h2Client(t).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || len(body) > 0 || len(res.Trailer) > 0 {
		t.Errorf("body %q, trailer %v, %v, want none", body, res.Trailer, err)
	}
	if res.StatusCode != http.StatusOK || res.Header.Get("Grpc-Status") != "12" || res.Header.Get("Content-Type") != "application/grpc" {
		t.Errorf("got %d %v, want 200 with grpc-status 12", res.StatusCode, res.Header)
	}
}

// If a backend dies during a stream, the client's stream ends with an error, never as if it were complete.
func TestGRPCStreamOfADyingServerEndsWithAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, health.NewServer())
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	conn := dialGRPC(t, startWeir(t, "ANY /**: { to: grpc://"+l.Addr().String()+" }"))
	watch, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	<-served
	if _, err := watch.Recv(); status.Code(err) == codes.OK || err == nil {
		t.Errorf("the stream ended with %v, want an error", err)
	}
}

func TestGRPCCancelAndDeadlineReachTheServer(t *testing.T) {
	server, address := startGRPC(t)
	conn := dialGRPC(t, startWeir(t, "ANY /**: { to: grpc://"+address+" }"))
	watch := func(ctx context.Context) {
		t.Helper()
		stream, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	watch(ctx)
	cancel()
	if err := await.From(t, "the end of the cancelled call", server.ended); status.Code(err) != codes.Canceled {
		t.Errorf("the server's call ended with %v, want Canceled", err)
	}

	ctx, cancel = context.WithTimeout(t.Context(), 3*time.Second) // enough to reach the server on a busy machine, too
	defer cancel()
	watch(ctx)
	err := await.From(t, "the end of the late call", server.ended)
	if code := status.Code(err); code != codes.DeadlineExceeded && code != codes.Canceled {
		t.Errorf("the server's call ended with %v, want DeadlineExceeded", err)
	}
}

// Messages of a stream arrive while it goes on, in both directions, and many streams share a connection.
func TestManyGRPCStreamsAtOnce(t *testing.T) {
	_, address := startGRPC(t)
	conn := dialGRPC(t, startWeir(t, "ANY /**: { to: grpc://"+address+" }"))
	done := make(chan error)
	const streams = 100
	for i := range streams {
		go func() { done <- pingPong(t.Context(), conn, i) }()
	}
	for range streams {
		if err := await.From(t, "a stream's end", done); err != nil {
			t.Error(err)
		}
	}
}

func pingPong(ctx context.Context, conn *grpc.ClientConn, i int) error {
	stream, err := testgrpc.NewTestServiceClient(conn).FullDuplexCall(ctx)
	if err != nil {
		return err
	}
	for k := range int32(20) {
		size := int32(i) + k
		err := stream.Send(&testgrpc.StreamingOutputCallRequest{ResponseParameters: []*testgrpc.ResponseParameters{{Size: size}}})
		if err != nil {
			return fmt.Errorf("stream %d: %w", i, err)
		}
		reply, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("stream %d: %w", i, err)
		}
		if got := len(reply.GetPayload().GetBody()); got != int(size) {
			return fmt.Errorf("stream %d: %d bytes came, want %d", i, got, size)
		}
	}
	return stream.CloseSend()
}

// The backend learns about the caller from metadata. Binary metadata stays unchanged.
func TestGRPCMetadataPasses(t *testing.T) {
	_, address := startGRPC(t)
	conn := dialGRPC(t, startWeir(t, "ANY /**: { to: grpc://"+address+" }"))
	const value = "\x00\xff binary"
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-grpc-test-echo-initial", strings.Repeat("v", 4000), "x-grpc-test-echo-trailing-bin", value)
	var header, trailer metadata.MD
	if _, err := testgrpc.NewTestServiceClient(conn).UnaryCall(ctx, &testgrpc.SimpleRequest{}, grpc.Header(&header), grpc.Trailer(&trailer)); err != nil {
		t.Fatal(err)
	}
	if got := header.Get("x-grpc-test-echo-initial"); len(got) != 1 || len(got[0]) != 4000 {
		t.Errorf("initial metadata %q", got)
	}
	if got := trailer.Get("x-grpc-test-echo-trailing-bin"); len(got) != 1 || got[0] != value {
		t.Errorf("trailing metadata %q", got)
	}
}
