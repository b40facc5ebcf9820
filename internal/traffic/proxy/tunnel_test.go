package proxy

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
)

// side is one end of a tunnel.
type side struct {
	bytes.Buffer // what was written to it

	says   string        // what it sends
	once   string        // what it sends after it has refused
	deaf   bool          // it refuses what is written to it
	ends   bool          // it then ends its direction
	refuse chan struct{} // closed when it has refused
	closed chan struct{}
	shut   sync.Once
	first  sync.Once
}

func newSide() *side { return &side{refuse: make(chan struct{}), closed: make(chan struct{})} }

func (s *side) Read(p []byte) (int, error) {
	if s.says != "" {
		n := copy(p, s.says)
		s.says = s.says[n:]
		return n, nil
	}
	if s.once != "" {
		select {
		case <-s.closed: // what was not read by then is lost
		case <-s.refuse:
			synctest.Wait() // as late as possible
			select {
			case <-s.closed:
				return 0, io.ErrClosedPipe
			default:
			}
			n := copy(p, s.once)
			s.once = s.once[n:]
			return n, nil
		}
	}
	if s.ends {
		return 0, io.EOF
	}
	<-s.closed
	return 0, io.ErrClosedPipe
}

func (s *side) Write(p []byte) (int, error) {
	if s.deaf {
		s.first.Do(func() { close(s.refuse) })
		return 0, syscall.EPIPE
	}
	return s.Buffer.Write(p)
}

func (s *side) Close() error {
	s.shut.Do(func() { close(s.closed) })
	return nil
}

func (s *side) CloseWrite() error {
	if s.deaf {
		return errors.ErrUnsupported
	}
	return nil
}

// A backend that ends a conversation says why, and accepts nothing more. Its last message reaches the client, even if
// the client is just about to send something.
func TestLastWordsPassThroughATunnel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, backend := newSide(), newSide()
		client.says = "something that cannot be sent on any more"
		backend.deaf, backend.once, backend.ends = true, "the last words", true
		join(t.Context(), client, backend, "chat", nil)
		if got := client.String(); got != "the last words" {
			t.Errorf("the client was told %q", got)
		}
	})
}
