package rolling

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/weir-gateway/weir/internal/base/await"
)

// How many clients send requests at once.
const (
	getters = 6
	posters = 3
	callers = 4
)

// load is a set of clients of all kinds.
type load struct {
	t       *testing.T
	gateway string
	posted  atomic.Int64
	report  report
}

func newLoad(t *testing.T, gateway string) *load {
	t.Helper()
	return &load{t: t, gateway: gateway, report: newReport()}
}

// served waits until both servers of some backend answer.
func (l *load) served() {
	l.t.Helper()
	client, conn := newClient(), l.dial()
	defer client.CloseIdleConnections()
	defer func() { _ = conn.Close() }()
	await.That(l.t, "backends answer", func() bool {
		return l.get(client) == nil && talk(l.t.Context(), conn, 1) == nil
	})
}

// clients send requests until they are told to end.
type clients struct{ end func() }

func (l *load) begin() clients {
	l.t.Helper()
	over, all := make(chan struct{}), sync.WaitGroup{}
	each := func(n int, kind string, ask func() error, leave func()) {
		for range n {
			all.Go(func() {
				defer leave()
				for {
					select {
					case <-over:
						return
					default:
						l.report.note(kind, ask())
					}
				}
			})
		}
	}
	for range getters {
		c := newClient()
		each(1, gets, func() error { return l.get(c) }, c.CloseIdleConnections)
	}
	for range posters {
		c := newClient()
		each(1, posts, func() error { return l.post(c) }, c.CloseIdleConnections)
	}
	for range callers {
		c := l.dial()
		each(1, streams, func() error { return talk(context.Background(), c, 10+rand.IntN(40)) }, func() { _ = c.Close() }) //nolint:gosec // no secret
	}
	c := clients{sync.OnceFunc(func() { close(over); all.Wait() })}
	l.t.Cleanup(c.end)
	return c
}

func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{}, Timeout: await.Patience}
}

// dial connects to the gateway. The client does not retry failed calls.
func (l *load) dial() *grpc.ClientConn {
	l.t.Helper()
	c, err := grpc.NewClient("passthrough:///"+l.gateway, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// lostError is a request that did not get a correct answer.
type lostError struct {
	why   string
	begun bool   // the head of its response, or the first message, had arrived
	post  string // the body of a POST
}

func (e *lostError) Error() string { return e.why }

func (l *load) get(client *http.Client) error {
	text, err := l.send(client, http.MethodGet, "")
	if err == nil && !strings.HasPrefix(text, "backend-") {
		return &lostError{why: "it says " + text, begun: true}
	}
	return err
}

// post sends a body that no other POST has.
func (l *load) post(client *http.Client) error {
	said := fmt.Sprintf("order %d%s", l.posted.Add(1), strings.Repeat(".", 1000))
	text, err := l.send(client, http.MethodPost, said)
	if lost, ok := errors.AsType[*lostError](err); ok {
		lost.post = said
	}
	if err == nil && text != said {
		return &lostError{why: "it says " + text, begun: true, post: said}
	}
	return err
}

func (l *load) send(client *http.Client, method, said string) (string, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, "http://"+l.gateway+"/orders", strings.NewReader(said))
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", &lostError{why: "no response: " + err.Error()}
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	switch {
	case res.StatusCode != http.StatusOK:
		return "", &lostError{why: fmt.Sprintf("%d %s", res.StatusCode, problem(text))}
	case err != nil:
		return "", &lostError{why: "the response ends with " + err.Error(), begun: true}
	}
	return string(text), nil
}

// pause is the time between two messages of a stream.
const pause = 15 * time.Millisecond

// talk runs a stream of that many messages and their answers.
func talk(ctx context.Context, conn *grpc.ClientConn, messages int) error {
	ctx, cancel := context.WithTimeout(ctx, await.Patience)
	defer cancel()
	stream, err := testgrpc.NewTestServiceClient(conn).FullDuplexCall(ctx)
	if err != nil {
		return &lostError{why: err.Error()}
	}
	for i := range messages {
		size := int32(100 + i)
		err := stream.Send(&testgrpc.StreamingOutputCallRequest{ResponseParameters: []*testgrpc.ResponseParameters{{Size: size}}})
		if err != nil && !errors.Is(err, io.EOF) { // the error of Recv says why
			return &lostError{why: err.Error(), begun: i > 0}
		}
		reply, err := stream.Recv()
		if err != nil {
			return &lostError{why: err.Error(), begun: i > 0}
		}
		if got := len(reply.GetPayload().GetBody()); got != int(size) {
			return &lostError{why: fmt.Sprintf("%d bytes came, want %d", got, size), begun: true}
		}
		<-time.After(pause)
	}
	if err := stream.CloseSend(); err != nil {
		return &lostError{why: err.Error(), begun: true}
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return &lostError{why: fmt.Sprint("the end is ", err), begun: true}
	}
	return nil
}
