package rolling

import (
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/keepalive"
)

// Ending is how a backend ends, and how it treats its connections until then.
type Ending string

// The endings.
const (
	// Graceful announces that it leaves, goes on while it gets requests, answers those that are under way, and
	// closes. A program behind a preStop hook or `weir register` does this.
	Graceful Ending = "graceful"
	// AtOnce closes everything, whatever is under way, as a system does for a process that was killed. That it is
	// gone is announced up to 100 ms later.
	AtOnce Ending = "at once"
	// Restless is Graceful, and also closes connections at random all its life: HTTP/1.1 connections while they are
	// idle, when a request may be on its way, and HTTP/2 connections with GOAWAY.
	Restless Ending = "restless"
)

// think is how long a backend takes for an answer at most, so that some requests are always under way.
const think = 8 * time.Millisecond

// idle is how long a restless backend leaves an HTTP/1.1 connection idle at most; aged is how old an HTTP/2
// connection gets.
const (
	idle = 40 * time.Millisecond
	aged = 300 * time.Millisecond
)

// book counts how many times backends have read each POST.
type book struct {
	mu   sync.Mutex
	came map[string]int
}

func (b *book) write(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.came[text]++
}

func (b *book) all() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.came)
}

// backend is a running instance.
type backend struct {
	Instance
	testgrpc.UnimplementedTestServiceServer

	book  *book
	asked atomic.Int64 // time of the last request, in nanoseconds
	http  *http.Server
	grpc  *grpc.Server
	doors [2]*door
	over  sync.WaitGroup // both servers
}

// serve starts a backend.
func serve(at Instance, e Ending, book *book) (*backend, error) {
	b := &backend{Instance: at, book: book}
	for i, port := range []int{at.HTTP, at.GRPC} {
		l, err := net.Listen("tcp", net.JoinHostPort(at.Host, strconv.Itoa(port))) //nolint:noctx // at once
		if err != nil {
			return nil, err
		}
		b.doors[i] = &door{Listener: l, open: map[net.Conn]bool{}}
	}
	b.http = &http.Server{ReadHeaderTimeout: time.Minute, Handler: b}
	var options []grpc.ServerOption
	if e == Restless {
		b.http.ConnState = restless
		options = append(options, grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: aged}))
	}
	b.grpc = grpc.NewServer(options...)
	testgrpc.RegisterTestServiceServer(b.grpc, b)
	b.over.Go(func() { _ = b.http.Serve(b.doors[0]) }) // it always ends with an error
	b.over.Go(func() { _ = b.grpc.Serve(b.doors[1]) })
	return b, nil
}

// ServeHTTP answers a GET with its own name, and a POST with the body of the POST.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.note()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the gateway has left
	}
	text := b.ID
	if r.Method == http.MethodPost {
		text = string(body)
		b.book.write(text)
	}
	<-time.After(rand.N(think)) //nolint:gosec // no secret
	_, _ = io.WriteString(w, text)
}

// FullDuplexCall answers each message with one of the requested size.
func (b *backend) FullDuplexCall(stream testgrpc.TestService_FullDuplexCallServer) error {
	b.note()
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		size := m.GetResponseParameters()[0].GetSize()
		if err := stream.Send(&testgrpc.StreamingOutputCallResponse{Payload: &testgrpc.Payload{Body: make([]byte, size)}}); err != nil {
			return err
		}
	}
}

func (b *backend) note() { b.asked.Store(time.Now().UnixNano()) }

// drain goes on until there was no request for that long, answers the requests under way, and ends.
func (b *backend) drain(grace time.Duration) {
	b.note()
	for {
		left := grace - time.Since(time.Unix(0, b.asked.Load()))
		if left <= 0 {
			break
		}
		<-time.After(left)
	}
	var both sync.WaitGroup
	both.Go(func() { _ = b.http.Shutdown(context.Background()) })
	both.Go(b.grpc.GracefulStop)
	both.Wait()
	b.over.Wait()
}

// kill closes everything. The kernel then sends the same as for a process that was killed.
func (b *backend) kill() {
	for _, d := range b.doors {
		d.shut()
	}
	_ = b.http.Close()
	b.grpc.Stop()
	b.over.Wait()
}

// door is a listener that keeps track of its connections.
type door struct {
	net.Listener

	mu   sync.Mutex
	open map[net.Conn]bool // nil: it is closed
}

// Accept implements net.Listener.
func (d *door) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == nil {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	d.open[c] = true
	return &visit{Conn: c, door: d}, nil
}

func (d *door) shut() {
	_ = d.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.open {
		_ = c.Close()
	}
	d.open = nil
}

// visit is a connection of a door.
type visit struct {
	net.Conn

	door  *door
	turns atomic.Int64 // how many times its state has changed
}

// Close implements net.Conn.
func (v *visit) Close() error {
	v.door.mu.Lock()
	delete(v.door.open, v.Conn)
	v.door.mu.Unlock()
	return v.Conn.Close()
}

// restless closes a connection some time after it has become idle. Like any server, it does not know whether a
// request is on its way at that moment.
func restless(c net.Conn, state http.ConnState) {
	v, ok := c.(*visit)
	if !ok {
		return
	}
	if turn := v.turns.Add(1); state == http.StateIdle {
		time.AfterFunc(rand.N(idle), func() { //nolint:gosec // no secret
			if v.turns.Load() == turn {
				_ = v.Close()
			}
		})
	}
}
