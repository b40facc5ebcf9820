package clients_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/weir-gateway/weir/internal/wire/secure/securetest"
	"github.com/weir-gateway/weir/test/weirtest"
)

// The following clients use HTTP/2 as intensively as they can, and do nothing else. The gateway closes the connection
// of a client whose frames serve no purpose. It must never do that to one of these clients.

// dials counts the connections that a client makes.
type dials struct{ n atomic.Int32 }

func (d *dials) dial(ctx context.Context, address string) (net.Conn, error) {
	d.n.Add(1)
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

// want fails unless there was one connection for everything.
func (d *dials) want(t *testing.T, gateway *weirtest.Gateway) {
	t.Helper()
	if n := d.n.Load(); n != 1 {
		t.Errorf("the client made %d connections, want 1", n)
	}
	if log := gateway.Log(); strings.Contains(log, "was cut off") {
		t.Errorf("the gateway has cut a client off:\n%s", log)
	}
}

func dialOnce(t *testing.T, gateway *weirtest.Gateway, as credentials.TransportCredentials, d *dials) testgrpc.TestServiceClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+gateway.Address,
		grpc.WithTransportCredentials(as), grpc.WithContextDialer(d.dial),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, PermitWithoutStream: true}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // closed only once, so it cannot fail
	return testgrpc.NewTestServiceClient(conn)
}

// each runs do for 0 to n-1, atOnce of them at the same time, and returns the first error.
func each(n, atOnce int, do func(i int) error) error {
	var failed atomic.Pointer[error]
	var next atomic.Int32
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && failed.Load() == nil; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	workers.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

func TestGRPCCallsOfWhichManyAreCancelledKeepTheirConnection(t *testing.T) {
	_, address := startGRPC(t)
	gateway := startWeir(t, "ANY /**: { to: grpc://"+address+" }")
	var d dials
	client := dialOnce(t, gateway, insecure.NewCredentials(), &d)
	const calls = 6000
	err := each(calls, 40, func(i int) error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if i%4 > 0 { // every fourth is cancelled at once
			_, err := client.EmptyCall(ctx, &testgrpc.Empty{})
			return err
		}
		stream, err := client.FullDuplexCall(ctx)
		if err != nil {
			return err
		}
		cancel()
		if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
			return fmt.Errorf("the cancelled call ended with %w", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	d.want(t, gateway)
}

// grpc-go sends a PING after each piece of a response while it estimates the bandwidth, and window updates after
// every few pieces.
func TestGRPCStreamsOfManyMessagesKeepTheirConnection(t *testing.T) {
	_, address := startGRPC(t)
	a, folder := securetest.NewAuthority(t, "shop"), t.TempDir()
	securetest.Write(t, folder, "weir", a.Issue([]string{"shop.dev"}))
	file := filepath.Join(folder, "weir.yaml")
	securetest.WriteFile(t, file, []byte(`
listen: { public: { address: ":8443", tls: { cert: weir.crt, key: weir.key } } }
limits: { body: none }
routes: { ANY /**: "grpc://`+address+`" }
`))
	gateway := weirtest.Start(t, file)
	var d dials
	client := dialOnce(t, gateway, credentials.NewTLS(&tls.Config{ServerName: "shop.dev", RootCAs: a.Pool(), MinVersion: tls.VersionTLS12}), &d)
	err := each(12, 4, func(i int) error {
		size := []int32{1, 100, 20_000}[i%3]
		stream, err := client.FullDuplexCall(t.Context())
		if err != nil {
			return err
		}
		for range 1500 {
			request := &testgrpc.StreamingOutputCallRequest{
				ResponseParameters: []*testgrpc.ResponseParameters{{Size: size}},
				Payload:            &testgrpc.Payload{Body: make([]byte, size)},
			}
			if err := stream.Send(request); err != nil {
				return err
			}
			if _, err := stream.Recv(); err != nil {
				return err
			}
		}
		return stream.CloseSend()
	})
	if err != nil {
		t.Error(err)
	}
	d.want(t, gateway)
}

// heavy is the size of a body in both directions.
const heavy = 64 << 20

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestHeavyTransfersOverHTTP2KeepTheirConnection(t *testing.T) {
	origin := startOrigin(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Came", fmt.Sprint(n))
		_, _ = io.CopyN(w, zeros{}, n) // the client may have gone
	}))
	gateway := startWeirWith(t, "limits: { body: none }\n", "ANY /**: { to: http://"+origin+" }")
	client := h2Client(t)
	client.Timeout = 0
	var made atomic.Int32
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if !info.Reused {
			made.Add(1)
		}
	}}
	transfer := func(size int64) error {
		ctx := httptrace.WithClientTrace(t.Context(), trace)
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+gateway.Address, io.LimitReader(zeros{}, size))
		if err != nil {
			return err
		}
		res, err := client.Do(request)
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, res.Body)
		if came := res.Header.Get("Came"); n != size || came != fmt.Sprint(size) {
			err = errors.Join(err, fmt.Errorf("%d bytes came back and %s were sent, want %d", n, came, size))
		}
		return errors.Join(err, res.Body.Close())
	}
	err := transfer(1) // opens the connection
	if err == nil {
		err = each(6, 3, func(int) error { return transfer(heavy) })
	}
	if err != nil {
		t.Error(err)
	}
	if n := made.Load(); n != 1 {
		t.Errorf("the client made %d connections, want 1", n)
	}
	if log := gateway.Log(); strings.Contains(log, "was cut off") {
		t.Errorf("the gateway has cut a client off:\n%s", log)
	}
}
