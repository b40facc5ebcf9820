package listen_test

import (
	"bytes"
	"context"
	"net/http"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weir-gateway/weir/internal/wire/listen"
)

// stranger is an HTTP/2 client that writes and reads frames.
type stranger struct {
	*http2.Framer

	t *testing.T
}

func newStranger(t *testing.T, address string) *stranger {
	t.Helper()
	conn := dial(t, address)
	send(t, conn, http2.ClientPreface)
	s := &stranger{http2.NewFramer(conn, conn), t}
	if err := s.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	s.await(func(f http2.Frame) bool {
		settings, ok := f.(*http2.SettingsFrame)
		return ok && settings.IsAck()
	})
	return s
}

func (s *stranger) ask(stream uint32) {
	s.t.Helper()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/"}} {
		if err := encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := s.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
		s.t.Fatal(err)
	}
}

// await reads frames until one satisfies is.
func (s *stranger) await(is func(http2.Frame) bool) {
	s.t.Helper()
	for {
		f, err := s.ReadFrame()
		if err != nil {
			s.t.Fatal(err)
		}
		if is(f) {
			return
		}
	}
}

func goAway(last uint32) func(http2.Frame) bool {
	return func(f http2.Frame) bool {
		g, ok := f.(*http2.GoAwayFrame)
		return ok && g.LastStreamID == last && g.ErrCode == http2.ErrCodeNo
	}
}

func answers(stream uint32) func(http2.Frame) bool {
	return func(f http2.Frame) bool {
		return f.Header().StreamID == stream && f.Header().Flags.Has(http2.FlagDataEndStream)
	}
}

// An HTTP/2 client is told in two steps that its connection ends, so that requests which it sent before it knew are
// still served.
func TestHTTP2ConnectionsEndInTwoSteps(t *testing.T) {
	server := serve(t, &listen.Options{Handler: http.HandlerFunc(echo), H2C: true})
	idle, active := newStranger(t, server.Addr().String()), newStranger(t, server.Addr().String())
	active.ask(1)
	active.await(answers(1))
	server.Leave()
	for _, s := range []*stranger{idle, active} {
		s.await(goAway(1<<31 - 1))
	}
	active.ask(3) // was already on its way
	active.await(answers(3))
	newer := newStranger(t, server.Addr().String())
	newer.ask(1)
	newer.await(goAway(1<<31 - 1))
	newer.await(answers(1))

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	idleTime, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Shutdown(ctx, idleTime) }()
	until(t, func() bool { return !listens(server.Addr().String()) })
	active.ask(5) // this one too
	active.await(answers(5))
	stop()
	active.await(goAway(5))
	idle.await(goAway(0))
	if err := <-ended; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}
